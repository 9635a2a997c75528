package cloud_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"syscall"
	"testing"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-lb/fairlead/internal/cloud"
)

func TestClassOfErrors(t *testing.T) {
	api := func(code string, fault smithy.ErrorFault) error {
		return fmt.Errorf("operation error: %w", &smithy.GenericAPIError{Code: code, Message: "m", Fault: fault})
	}
	tests := map[string]struct {
		err  error
		want cloud.Class
	}{
		"a group in use":                        {api("ResourceInUse", smithy.FaultClient), cloud.InUse},
		"EC2's own throttling":                  {api("RequestLimitExceeded", smithy.FaultServer), cloud.Throttled},
		"an unknown code of the client's fault": {api("InvalidScheme", smithy.FaultClient), cloud.Invalid},
		"an unknown code of the server's fault": {api("Oops", smithy.FaultServer), cloud.Transient},
		"no answer":                             {errors.New("connection refused"), cloud.Transient},
		"time is up":                            {context.DeadlineExceeded, cloud.Transient},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := cloud.ClassOf(cloud.Wrap("create listener", tt.err)); got != tt.want {
				t.Errorf("got class %s, want %s", got, tt.want)
			}
		})
	}
}

func TestErrorsReadTheSameEachTime(t *testing.T) {
	const endpoint = "https://elasticloadbalancing.us-west-2.amazonaws.com/"
	from := func(port int) net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: port} }
	sdk := func(status, call int, err error) error {
		resp := &smithyhttp.Response{Response: &http.Response{StatusCode: status}} // the SDK has one also when none came
		return fmt.Errorf("operation error ELBv2: Describe, request %d: %w", call, &smithyhttp.ResponseError{Response: resp, Err: err})
	}
	tests := map[string]struct {
		call func(n int) error // the nth call's error
		want string
	}{
		"AWS refuses": {func(n int) error {
			return sdk(400, n, &smithy.GenericAPIError{Code: "ResourceInUse", Message: "Target group 'x' is in use"})
		}, "Target group 'x' is in use (ResourceInUse)"},
		"EC2 denies": {func(n int) error {
			return sdk(403, n, &smithy.GenericAPIError{
				Code: "UnauthorizedOperation", Message: fmt.Sprintf("You are not authorized. Encoded authorization failure message: abc%d", n),
			})
		}, "You are not authorized. (UnauthorizedOperation)"},
		"the connection breaks": {func(n int) error {
			broken := &net.OpError{Op: "read", Net: "tcp", Source: from(n), Addr: from(443), Err: os.NewSyscallError("read", syscall.ECONNRESET)}
			return sdk(0, n, &url.Error{Op: "Post", URL: endpoint, Err: broken})
		}, "Post " + endpoint + ": read: connection reset by peer"},
		"the connection breaks in the middle of a request": {func(n int) error {
			broken := &net.OpError{Op: "write", Net: "tcp", Source: from(n), Addr: from(443), Err: net.ErrClosed}
			return sdk(0, n, &url.Error{Op: "Post", URL: endpoint, Err: &net.OpError{Op: "readfrom", Net: "tcp", Source: from(n), Addr: from(443), Err: broken}})
		}, "Post " + endpoint + ": use of closed network connection"},
		"the name server is silent": {func(n int) error {
			silent := &net.DNSError{Err: fmt.Sprintf("read udp %s: i/o timeout", from(n)), Name: "elasticloadbalancing.us-west-2.amazonaws.com", IsTimeout: true}
			return sdk(0, n, &url.Error{Op: "Post", URL: endpoint, Err: &net.OpError{Op: "dial", Net: "tcp", Err: silent}})
		}, "Post " + endpoint + ": lookup elasticloadbalancing.us-west-2.amazonaws.com: no answer in time"},
		"something between answers": {func(n int) error {
			return sdk(502, n, fmt.Errorf("deserialization failed at %d", n))
		}, "the answer is none of AWS's; its HTTP status is 502"},
		"time is up": {func(n int) error {
			return sdk(0, n, &url.Error{Op: "Post", URL: endpoint, Err: context.DeadlineExceeded})
		}, "no answer in time"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			for n := range 2 {
				err := cloud.Wrap("delete target group x", tt.call(n))
				if want := "delete target group x: " + tt.want; err.Error() != want {
					t.Errorf("got %q, want %q", err, want)
				}
			}
		})
	}
}

func TestExistingFindsAllButTheMissing(t *testing.T) {
	var names, want []string
	for i := range 45 {
		names = append(names, fmt.Sprint(i))
		if i != 3 && i != 19 && i != 44 {
			want = append(want, fmt.Sprint(i))
		}
	}
	calls := 0
	got, err := cloud.Existing(t.Context(), names, func(_ context.Context, batch []string) ([]string, error) {
		calls++
		if len(batch) > cloud.BatchSize {
			t.Errorf("a call with %d names", len(batch))
		}
		for _, n := range batch {
			if !slices.Contains(want, n) {
				return nil, cloud.Wrap("describe", &smithy.GenericAPIError{Code: "LoadBalancerNotFound"})
			}
		}
		return slices.Clone(batch), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what exists (-want +got):\n%s", diff)
	}
	if calls > 30 {
		t.Errorf("%d calls for 45 names", calls)
	}
}

func TestExistingStopsAtOtherErrors(t *testing.T) {
	_, err := cloud.Existing(t.Context(), []string{"a"}, func(context.Context, []string) ([]string, error) {
		return nil, cloud.Wrap("describe", &smithy.GenericAPIError{Code: "AccessDenied"})
	})
	if !cloud.Is(err, cloud.Denied) {
		t.Errorf("got %v, want a denial", err)
	}
}
