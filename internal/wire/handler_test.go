package wire

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing/types"
	elbv2 "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/fairlead-lb/fairlead/internal/cloud/plainbody"
)

const (
	testRegion = "us-west-2"
	testKeyID  = "AKIAFAIRLEADTEST0001"
	testSecret = "secret/of+the=tests"
)

var testCaller = Caller{AccountID: "000000000000", Name: "tester", ARN: "arn:aws:iam::000000000000:user/tester", AccessKeyID: testKeyID}

// testKeys serves both sides: the client signs with the key, the handler knows it.
type testKeys struct{}

func (testKeys) Retrieve(context.Context) (aws.Credentials, error) {
	return aws.Credentials{AccessKeyID: testKeyID, SecretAccessKey: testSecret}, nil
}

func (testKeys) Credential(id string) (Credential, bool) {
	if id != testKeyID {
		return Credential{}, false
	}
	return Credential{Caller: testCaller, SecretAccessKey: testSecret}, true
}

// server is a handler on loopback with the audit records it wrote.
type server struct {
	*httptest.Server
	records []Record
}

func serve(t *testing.T, apis ...API) *server {
	t.Helper()
	s := &server{}
	s.Server = httptest.NewServer(NewHandler(Config{
		APIs: apis, Credentials: testKeys{}, Region: testRegion, Now: time.Now,
		Logger: discard,
		Audit:  func(_ context.Context, r Record) { s.records = append(s.records, r) },
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *server) config() aws.Config {
	return aws.Config{
		Region: testRegion, BaseEndpoint: aws.String(s.URL), Credentials: testKeys{}, HTTPClient: plainbody.Client(s.Client()),
		Retryer: func() aws.Retryer { return aws.NopRetryer{} },
	}
}

func elbv2API(actions ...Action) API {
	return API{
		Service: "elasticloadbalancing", Version: "2015-12-01",
		Namespace: "http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/", Actions: actions,
	}
}

func elbAPI(actions ...Action) API {
	return API{
		Service: "elasticloadbalancing", Version: "2012-06-01",
		Namespace: "http://elasticloadbalancing.amazonaws.com/doc/2012-06-01/", Actions: actions,
	}
}

func TestSDKClientReadsWhatAnActionReturned(t *testing.T) {
	created := time.Date(2026, 3, 4, 5, 6, 7, 890e6, time.UTC)
	want := &elbv2.DescribeLoadBalancersOutput{
		LoadBalancers: []types.LoadBalancer{{
			LoadBalancerArn:  aws.String("arn:aws:elasticloadbalancing:us-west-2:000000000000:loadbalancer/net/a/0123456789abcdef"),
			LoadBalancerName: aws.String("a <&> \"b\" é"),
			CreatedTime:      &created,
			Scheme:           types.LoadBalancerSchemeEnumInternal,
			State:            &types.LoadBalancerState{Code: types.LoadBalancerStateEnumActive},
			SecurityGroups:   []string{},
			AvailabilityZones: []types.AvailabilityZone{{
				ZoneName:              aws.String("us-west-2a"),
				LoadBalancerAddresses: []types.LoadBalancerAddress{{PrivateIPv4Address: aws.String("198.18.16.9")}},
			}},
		}},
		NextMarker: aws.String("next"),
	}
	var got *elbv2.DescribeLoadBalancersInput
	var caller Caller
	s := serve(t, elbv2API(Query("DescribeLoadBalancers", func(ctx context.Context, in *elbv2.DescribeLoadBalancersInput) (*elbv2.DescribeLoadBalancersOutput, error) {
		got, caller = in, CallerFrom(ctx)
		NoteResource(ctx, "arn:noted")
		return want, nil
	})))
	in := &elbv2.DescribeLoadBalancersInput{Names: []string{"a", "b"}, PageSize: aws.Int32(7), LoadBalancerArns: []string{}}
	out, err := elbv2.NewFromConfig(s.config()).DescribeLoadBalancers(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	ignore := cmpopts.IgnoreUnexported(elbv2.DescribeLoadBalancersInput{}, elbv2.DescribeLoadBalancersOutput{}, types.LoadBalancer{},
		types.LoadBalancerState{}, types.AvailabilityZone{}, types.LoadBalancerAddress{})
	if diff := cmp.Diff(in, got, ignore); diff != "" {
		t.Errorf("the action got another input (-sent +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, out, ignore, cmpopts.IgnoreFields(elbv2.DescribeLoadBalancersOutput{}, "ResultMetadata")); diff != "" {
		t.Errorf("the client read another output (-returned +read):\n%s", diff)
	}
	if diff := cmp.Diff(testCaller, caller); diff != "" {
		t.Errorf("the action saw another caller (-want +got):\n%s", diff)
	}
	record := s.records[0]
	if diff := cmp.Diff([]any{"DescribeLoadBalancers", []string{"arn:noted"}, 200, "", "127.0.0.1"},
		[]any{record.Action, record.Resources, record.Status, record.ErrorCode, record.SourceIP.String()}); diff != "" {
		t.Errorf("audit record (-want +got):\n%s", diff)
	}
}

func TestActionsWithoutAResultSucceedInTheSDK(t *testing.T) {
	s := serve(t, elbv2API(Query("DeleteLoadBalancer", func(context.Context, *elbv2.DeleteLoadBalancerInput) (*elbv2.DeleteLoadBalancerOutput, error) {
		return nil, nil
	})))
	_, err := elbv2.NewFromConfig(s.config()).DeleteLoadBalancer(t.Context(), &elbv2.DeleteLoadBalancerInput{LoadBalancerArn: aws.String("arn")})
	if err != nil {
		t.Error(err)
	}
}

func TestErrorsArriveTypedInTheSDK(t *testing.T) {
	fails := func(e *Error) func(context.Context, *elbv2.DescribeLoadBalancersInput) (*elbv2.DescribeLoadBalancersOutput, error) {
		return func(context.Context, *elbv2.DescribeLoadBalancersInput) (*elbv2.DescribeLoadBalancersOutput, error) {
			return nil, e
		}
	}
	s := serve(t, elbv2API(Query("DescribeLoadBalancers", fails(Errorf("LoadBalancerNotFound", "Load balancers '[%s]' not found", "a")))))
	_, err := elbv2.NewFromConfig(s.config()).DescribeLoadBalancers(t.Context(), &elbv2.DescribeLoadBalancersInput{})
	notFound, ok := errors.AsType[*types.LoadBalancerNotFoundException](err)
	if !ok {
		t.Fatalf("got %v, want a LoadBalancerNotFoundException", err)
	}
	if got, want := notFound.ErrorMessage(), "Load balancers '[a]' not found"; got != want {
		t.Errorf("message is %q, want %q", got, want)
	}
}

func TestVersionTellsClassicFromV2(t *testing.T) {
	s := serve(t,
		elbv2API(),
		elbAPI(Query("DescribeLoadBalancers", func(_ context.Context, in *elb.DescribeLoadBalancersInput) (*elb.DescribeLoadBalancersOutput, error) {
			return &elb.DescribeLoadBalancersOutput{LoadBalancerDescriptions: []elbtypes.LoadBalancerDescription{{
				LoadBalancerName: aws.String(in.LoadBalancerNames[0]),
				HealthCheck:      &elbtypes.HealthCheck{Interval: aws.Int32(5)},
			}}}, nil
		})))
	out, err := elb.NewFromConfig(s.config()).DescribeLoadBalancers(t.Context(), &elb.DescribeLoadBalancersInput{LoadBalancerNames: []string{"classic"}})
	if err != nil {
		t.Fatal(err)
	}
	if got := aws.ToString(out.LoadBalancerDescriptions[0].LoadBalancerName); got != "classic" {
		t.Errorf("got load balancer %q, want classic", got)
	}
	_, err = elbv2.NewFromConfig(s.config()).DescribeLoadBalancers(t.Context(), &elbv2.DescribeLoadBalancersInput{})
	if got, want := codeOf(err), "InvalidAction"; got != want {
		t.Errorf("an action that only the other version has gives %q (%v), want %s", got, err, want)
	}
}

func TestAFailureOfTheEngineIsInternalFailureWithoutDetails(t *testing.T) {
	for name, f := range map[string]func(context.Context, *elbv2.DescribeSSLPoliciesInput) (*elbv2.DescribeSSLPoliciesOutput, error){
		"an error that is not AWS's": func(context.Context, *elbv2.DescribeSSLPoliciesInput) (*elbv2.DescribeSSLPoliciesOutput, error) {
			return nil, errors.New("disk on fire")
		},
		"a panic": func(context.Context, *elbv2.DescribeSSLPoliciesInput) (*elbv2.DescribeSSLPoliciesOutput, error) {
			panic("disk on fire")
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, elbv2API(Query("DescribeSSLPolicies", f)))
			_, err := elbv2.NewFromConfig(s.config()).DescribeSSLPolicies(t.Context(), &elbv2.DescribeSSLPoliciesInput{})
			e, ok := errors.AsType[smithy.APIError](err)
			if !ok || e.ErrorCode() != "InternalFailure" || e.ErrorMessage() != internalText {
				t.Errorf("got %v, want InternalFailure with the text for clients", err)
			}
			if got := s.records[0].Status; got != http.StatusInternalServerError {
				t.Errorf("audited status %d, want 500", got)
			}
		})
	}
}

var discard = slog.New(slog.DiscardHandler)

func codeOf(err error) string {
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		return e.ErrorCode()
	}
	return ""
}
