// Package awssdk is cloud.API over the AWS SDK: the only package of the
// controller that imports AWS clients.
//
// Invariants: every call has a time limit, a place in its budget and a
// count in the metrics; every error is a *cloud.Error.
package awssdk

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing"
	elbv2 "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	tagging "github.com/aws/aws-sdk-go-v2/service/resourcegroupstaggingapi"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/fairlead-lb/fairlead/internal/cloud"
	"github.com/fairlead-lb/fairlead/internal/cloud/plainbody"
)

// Config says which VPC in which region the client works in. Endpoints and
// credentials come from the SDK's own environment and chain.
type Config struct {
	Region      string // empty: from the environment
	VPCID       string
	Description string        // of security group rules: it marks them as ours
	Timeout     time.Duration // of one call with its retries; 0 means 30 s
	MaxAttempts int           // of one call; 0 means 4
	RequestRate float64       // of calls, relative to what AWS publishes for an account; 0 means 1, +Inf no limit
	Registerer  prometheus.Registerer

	// Adjust changes the SDK's configuration last; tests put their own endpoint,
	// transport and credentials there.
	Adjust func(*aws.Config)
}

// Client is cloud.API over the AWS SDK.
type Client struct {
	cfg     Config
	elb     *elbv2.Client
	classic *elasticloadbalancing.Client
	ec2     *ec2.Client
	tagging *tagging.Client
	budget  *budget
	calls   *prometheus.CounterVec
	seconds *prometheus.HistogramVec
}

var _ cloud.API = (*Client)(nil)

// New is a client. It calls nothing yet.
func New(ctx context.Context, cfg Config) (*Client, error) {
	if cfg.Timeout == 0 {
		cfg.Timeout = 30 * time.Second
	}
	if cfg.MaxAttempts == 0 {
		cfg.MaxAttempts = 4
	}
	if cfg.RequestRate == 0 {
		cfg.RequestRate = 1
	}
	options := []func(*config.LoadOptions) error{
		config.WithRetryer(func() aws.Retryer {
			return retry.NewStandard(func(s *retry.StandardOptions) { s.MaxAttempts = cfg.MaxAttempts })
		}),
	}
	if cfg.Region != "" {
		options = append(options, config.WithRegion(cfg.Region))
	}
	sdk, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, fmt.Errorf("load the AWS configuration: %w", err)
	}
	if cfg.Adjust != nil {
		cfg.Adjust(&sdk)
	}
	if sdk.HTTPClient == nil { // each service would make this one for itself
		sdk.HTTPClient = awshttp.NewBuildableClient()
	}
	sdk.HTTPClient = plainbody.Client(sdk.HTTPClient)
	if sdk.Region == "" {
		return nil, fmt.Errorf("load the AWS configuration: no region; set AWS_REGION or --region")
	}
	c := &Client{
		cfg: cfg, elb: elbv2.NewFromConfig(sdk), classic: elasticloadbalancing.NewFromConfig(sdk), ec2: ec2.NewFromConfig(sdk), tagging: tagging.NewFromConfig(sdk), budget: newBudget(cfg.RequestRate),
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "fairlead_aws_calls_total", Help: "AWS API calls by action and outcome: ok, the class of the error, or held-back by our own budget. Retries of the SDK count as one call.",
		}, []string{"action", "outcome"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "fairlead_aws_call_duration_seconds", Help: "Time of AWS API calls with their retries, without waiting for the budget.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"action"}),
	}
	if cfg.Registerer != nil {
		cfg.Registerer.MustRegister(c.calls, c.seconds)
	}
	return c, nil
}

// call makes one API call: doing is for the error, such as "create listener".
func call[In, Out, Opt any](ctx context.Context, c *Client, doing string, fn func(context.Context, *In, ...func(*Opt)) (*Out, error), in *In) (*Out, error) {
	if err := c.budget.wait(ctx, doing, in); err != nil {
		c.calls.WithLabelValues(actionOf(in), "held-back").Inc()
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	start := time.Now()
	out, err := fn(ctx, in)
	err = cloud.Wrap(doing, err)
	action := actionOf(in)
	outcome := "ok"
	if err != nil {
		outcome = string(cloud.ClassOf(err))
	}
	c.calls.WithLabelValues(action, outcome).Inc()
	c.seconds.WithLabelValues(action).Observe(time.Since(start).Seconds())
	return out, err
}

// run is call without a result.
func run[In, Out, Opt any](ctx context.Context, c *Client, doing string, fn func(context.Context, *In, ...func(*Opt)) (*Out, error), in *In) error {
	_, err := call(ctx, c, doing, fn, in)
	return err
}
