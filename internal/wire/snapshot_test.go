package wire

import (
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing"
	elbv2 "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/google/go-cmp/cmp"
)

// recorder is an HTTP client that keeps the body of the last request and
// answers nothing useful.
type recorder struct{ body string }

func (r *recorder) Do(req *http.Request) (*http.Response, error) {
	b, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	r.body = string(b)
	return &http.Response{StatusCode: http.StatusBadRequest, Header: http.Header{}, Body: http.NoBody, Request: req}, nil
}

func recordingConfig(r *recorder) aws.Config {
	return aws.Config{
		Region: testRegion, HTTPClient: r, BaseEndpoint: aws.String("http://api.test"),
		Credentials: testKeys{}, Retryer: func() aws.Retryer { return aws.NopRetryer{} },
	}
}

// The SDK modules come with a request for every action with every member
// filled. Decoding one and giving the result to the SDK's client must give the
// same bytes again: then no member is lost, invented or misread.
func TestDecodedSnapshotsAreEncodedTheSameByTheSDK(t *testing.T) {
	var r recorder
	cfg := recordingConfig(&r)
	for module, tc := range map[string]struct {
		client  any
		atLeast int
	}{
		"elasticloadbalancingv2": {elbv2.NewFromConfig(cfg), 51},
		"elasticloadbalancing":   {elb.NewFromConfig(cfg), 29},
		"sts":                    {sts.NewFromConfig(cfg), 8},
	} {
		files := snapshotFiles(t, module)
		if len(files) < tc.atLeast {
			t.Errorf("%s has %d request snapshots, want at least %d", module, len(files), tc.atLeast)
		}
		for _, file := range files {
			operation := strings.TrimSuffix(filepath.Base(file), ".request.snap")
			t.Run(module+"/"+operation, func(t *testing.T) {
				want := snapshotBody(t, file)
				r.body = ""
				callDecoded(t, tc.client, operation, want)
				if diff := cmp.Diff(strings.Split(want, "&"), strings.Split(r.body, "&")); diff != "" {
					t.Errorf("the SDK encodes what was decoded differently (-snapshot +SDK):\n%s", diff)
				}
			})
		}
	}
}

func snapshotFiles(t *testing.T, module string) []string {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/aws/aws-sdk-go-v2/service/"+module).Output()
	if err != nil {
		t.Fatalf("locate module %s: %v", module, err)
	}
	files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(dir)), "request_snapshot", "*.request.snap"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func snapshotBody(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, body, ok := strings.Cut(string(b), "\n\nContent-Type: application/x-www-form-urlencoded\n\n")
	if !ok {
		t.Fatalf("%s does not look like a request snapshot", file)
	}
	return body
}

// callDecoded decodes a body as the input of the client's method of that name
// and calls it with the result.
func callDecoded(t *testing.T, client any, operation, wire string) {
	t.Helper()
	method := reflect.ValueOf(client).MethodByName(operation)
	if !method.IsValid() {
		t.Fatalf("the SDK client has no method %s", operation)
	}
	input := method.Type().In(1).Elem()
	c := &xmlCodec{operation, queryDialect, compile(input, queryDialect), nil, queryInvalid, queryFrame}
	form, err := parseForm(wire)
	if err != nil {
		t.Fatal(err)
	}
	in, err := c.decode(body{form: form})
	if err != nil {
		t.Fatalf("decode: %v", err)
	}
	method.Call([]reflect.Value{reflect.ValueOf(context.Background()), reflect.ValueOf(in)})
}
