package awssdk_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/fairlead-lb/fairlead/internal/cloud/awssdk"
)

// metadataService is the metadata of an instance, as EC2 serves it to those who
// ask for a token first.
func metadataService(t *testing.T) string {
	t.Helper()
	pages := map[string]string{
		"/latest/meta-data/mac": "02:00:00:00:00:01",
		"/latest/meta-data/network/interfaces/macs/02:00:00:00:00:01/vpc-id": "vpc-0123",
		"/latest/dynamic/instance-identity/document":                         `{"region": "eu-central-1"}`,
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		page, ok := pages[r.URL.Path]
		switch {
		case r.Method == http.MethodPut && r.URL.Path == "/latest/api/token":
			w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "60")
			page = "token"
		case r.Header.Get("X-Aws-Ec2-Metadata-Token") != "token":
			w.WriteHeader(http.StatusUnauthorized)
		case !ok:
			w.WriteHeader(http.StatusNotFound)
		}
		_, _ = io.WriteString(w, page)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestPlaceIsWhatIsGivenThenTheEnvironmentThenTheInstance(t *testing.T) {
	tests := map[string]struct{ region, vpc, environment, wantRegion, wantVPC string }{
		"both are given":                {"us-west-2", "vpc-1", "eu-west-1", "us-west-2", "vpc-1"},
		"the environment has a region":  {"", "vpc-1", "eu-west-1", "eu-west-1", "vpc-1"},
		"the VPC is the instance's":     {"", "", "eu-west-1", "eu-west-1", "vpc-0123"},
		"both are the instance's":       {"", "", "", "eu-central-1", "vpc-0123"},
		"the region is the instance's":  {"", "vpc-1", "", "eu-central-1", "vpc-1"},
		"a region and no VPC are given": {"us-west-2", "", "", "us-west-2", "vpc-0123"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			quiet(t, tt.environment)
			t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadataService(t))
			region, vpc, err := awssdk.Place(t.Context(), tt.region, tt.vpc)
			if err != nil || region != tt.wantRegion || vpc != tt.wantVPC {
				t.Errorf("got region %q and VPC %q (%v), want %q and %q", region, vpc, err, tt.wantRegion, tt.wantVPC)
			}
		})
	}
}

func TestPlaceSaysWhatItAskedInVain(t *testing.T) {
	quiet(t, "")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	_, _, err := awssdk.Place(t.Context(), "us-west-2", "")
	if err == nil || !strings.Contains(err.Error(), "metadata for the VPC") {
		t.Errorf("got %v", err)
	}
}

// quiet keeps the machine's own AWS settings out of a test.
func quiet(t *testing.T, region string) {
	t.Helper()
	for key, value := range map[string]string{
		"AWS_REGION": region, "AWS_DEFAULT_REGION": "", "AWS_PROFILE": "", "AWS_EC2_METADATA_DISABLED": "",
		"AWS_CONFIG_FILE": t.TempDir() + "/none", "AWS_SHARED_CREDENTIALS_FILE": t.TempDir() + "/none",
	} {
		t.Setenv(key, value)
	}
}
