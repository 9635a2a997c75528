package awssdk_test

import (
	"crypto/rand"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/fairlead-lb/fairlead/internal/cloud"
	"github.com/fairlead-lb/fairlead/internal/cloud/awssdk"
)

// TestErrorsOfTheWayReadTheSameEachTime: the SDK's own texts have the port that
// a call came from, or the ID of its request.
func TestErrorsOfTheWayReadTheSameEachTime(t *testing.T) {
	// What differs from call to call, as the handler of one sees it.
	differs := make(chan string, 1)
	tests := map[string]http.HandlerFunc{
		"the connection breaks": func(w http.ResponseWriter, r *http.Request) {
			differs <- r.RemoteAddr
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
			id := rand.Text()
			differs <- id
			w.Header().Set("X-Amzn-Requestid", id)
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
			_, err = c.DescribeLoadBalancers(t.Context(), []string{"one"})
			if !cloud.Is(err, cloud.Transient) {
				t.Fatalf("got %v, want an error of class %s", err, cloud.Transient)
			}
			if own := <-differs; strings.Contains(err.Error(), own) {
				t.Errorf("the error has what another call's has not, %s:\n%v", own, err)
			}
		})
	}
}
