package cloud_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/aws/smithy-go"
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
	err := cloud.Wrap("delete target group x", fmt.Errorf("https response error StatusCode: 400, RequestID: 1234: %w",
		&smithy.GenericAPIError{Code: "ResourceInUse", Message: "Target group 'x' is currently in use by a listener or a rule"}))
	want := "delete target group x: Target group 'x' is currently in use by a listener or a rule (ResourceInUse)"
	if err.Error() != want {
		t.Errorf("got %q, want %q", err, want)
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
