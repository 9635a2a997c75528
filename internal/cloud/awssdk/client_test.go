package awssdk_test

import (
	"crypto/rand"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/fairlead-lb/fairlead/internal/cloud"
	"github.com/fairlead-lb/fairlead/internal/cloud/awssdk"
)

// TestErrorsOfTheWayReadTheSameEachTime: the SDK's own texts have the port that
// a call came from, and the ID of its request.
func TestErrorsOfTheWayReadTheSameEachTime(t *testing.T) {
	tests := map[string]http.HandlerFunc{
		"the connection breaks": func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			if err := conn.(*net.TCPConn).SetLinger(0); err != nil {
				t.Error(err)
			}
			conn.Close()
		},
		"something between answers": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Amzn-Requestid", rand.Text())
			http.Error(w, "<html>bad gateway", http.StatusBadGateway)
		},
	}
	for name, handler := range tests {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(handler)
			defer server.Close()
			c, err := awssdk.New(t.Context(), awssdk.Config{
				Region: "us-west-2", MaxAttempts: 1,
				Adjust: func(c *aws.Config) {
					c.BaseEndpoint, c.Credentials = &server.URL, credentials.NewStaticCredentialsProvider("AKIA", "secret", "")
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			say := func() string {
				_, err := c.DescribeLoadBalancers(t.Context(), []string{"one"})
				if !cloud.Is(err, cloud.Transient) {
					t.Fatalf("got %v, want an error of class %s", err, cloud.Transient)
				}
				return err.Error()
			}
			if first, second := say(), say(); first != second {
				t.Errorf("the same thing goes wrong twice, and reads\n%s\n%s", first, second)
			}
		})
	}
}
