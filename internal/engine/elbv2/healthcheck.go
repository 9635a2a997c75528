package elbv2

import (
	"cmp"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/fairlead-lb/fairlead/internal/engine/balancing"
	"github.com/fairlead-lb/fairlead/internal/lb"
)

// Defaults of health checks (CreateTargetGroup in the API reference).
const (
	defaultInterval           = 30 * time.Second
	defaultTimeout            = 10 * time.Second
	defaultHTTPTimeout        = 6 * time.Second
	defaultHealthyThreshold   = 5
	defaultUnhealthyThreshold = 2
	defaultPath               = "/"
	defaultMatcher            = "200-399"
	maxPathLength             = 1024
)

// checkSettings are the health check members that create and modify share.
type checkSettings struct {
	enabled            *bool
	protocol           types.ProtocolEnum
	port, path         *string
	matcher            *types.Matcher
	interval, timeout  *int32 // seconds
	healthy, unhealthy *int32
}

// newHealthCheck is the health check of a new group.
func newHealthCheck(in checkSettings) (lb.HealthCheck, error) {
	check := lb.HealthCheck{
		Protocol: lb.TCP, Port: lb.TrafficPort, Interval: defaultInterval, Timeout: defaultTimeout,
		HealthyThreshold: defaultHealthyThreshold, UnhealthyThreshold: defaultUnhealthyThreshold,
	}
	if in.timeout == nil && in.protocol == types.ProtocolEnumHttp {
		check.Timeout = defaultHTTPTimeout
	}
	return changeHealthCheck(check, in)
}

// changeHealthCheck applies what a request names and leaves the rest.
func changeHealthCheck(check lb.HealthCheck, in checkSettings) (lb.HealthCheck, error) {
	if err := checkBounds(in); err != nil {
		return check, err
	}
	if in.protocol != "" {
		check.Protocol = lb.Protocol(in.protocol)
	}
	if err := setHTTP(&check, in); err != nil {
		return check, err
	}
	if in.port != nil {
		if p, err := strconv.ParseUint(*in.port, 10, 16); *in.port != lb.TrafficPort && (err != nil || p == 0) {
			return check, invalid("Health check port '%s' must be either '%s' or in the range '1-65535'", *in.port, lb.TrafficPort)
		}
		check.Port = *in.port
	}
	setSeconds(&check.Interval, in.interval)
	setSeconds(&check.Timeout, in.timeout)
	setCount(&check.HealthyThreshold, in.healthy)
	setCount(&check.UnhealthyThreshold, in.unhealthy)
	if check.Timeout > check.Interval {
		return check, invalid("Health check timeout '%d' must be smaller than or equal to the interval '%d'", int(check.Timeout.Seconds()), int(check.Interval.Seconds()))
	}
	return check, nil
}

func setSeconds(d *time.Duration, seconds *int32) {
	if seconds != nil {
		*d = time.Duration(*seconds) * time.Second
	}
}

func setCount(n *int, value *int32) {
	if value != nil {
		*n = int(*value)
	}
}

func checkBounds(in checkSettings) error {
	if in.enabled != nil && !*in.enabled {
		return invalid("Health check enabled must be true for target groups with target type 'instance' and 'ip'")
	}
	return cmp.Or(
		balancing.CheckRange("healthCheckIntervalSeconds", in.interval, 5, 300),
		balancing.CheckRange("healthCheckTimeoutSeconds", in.timeout, 2, 120),
		balancing.CheckRange("healthyThresholdCount", in.healthy, 2, 10),
		balancing.CheckRange("unhealthyThresholdCount", in.unhealthy, 2, 10),
	)
}

// setHTTP sets protocol, path and matcher, which belong together.
func setHTTP(check *lb.HealthCheck, in checkSettings) error {
	switch check.Protocol {
	case lb.TCP:
		if aws.ToString(in.path) != "" || in.matcher != nil && aws.ToString(in.matcher.HttpCode) != "" {
			return invalid("Health check path and matcher cannot be specified for health checks with the protocol 'TCP'")
		}
		check.Path, check.Matcher = "", ""
		return nil
	case lb.HTTP, lb.HTTPS:
		check.Path, check.Matcher = cmp.Or(check.Path, defaultPath), cmp.Or(check.Matcher, defaultMatcher)
	default:
		return invalid("Health check protocol '%s' must be one of 'HTTP, HTTPS, TCP'", check.Protocol)
	}
	if in.path != nil {
		if !strings.HasPrefix(*in.path, "/") || len(*in.path) > maxPathLength || strings.ContainsFunc(*in.path, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
			return invalid("Health check path '%s' must begin with '/', have at most '%d' characters and contain no spaces", *in.path, maxPathLength)
		}
		check.Path = *in.path
	}
	if in.matcher == nil {
		return nil
	}
	if in.matcher.GrpcCode != nil {
		return invalid("gRPC codes cannot be specified for health checks with the protocol '%s'", check.Protocol)
	}
	codes := aws.ToString(in.matcher.HttpCode)
	if !validMatcher(codes) {
		return invalid("Health check matcher HTTP code '%s' must be within '200-599' inclusive", codes)
	}
	check.Matcher = codes
	return nil
}

var matcherPattern = regexp.MustCompile(`^[2-5][0-9]{2}(-[2-5][0-9]{2})?(,[2-5][0-9]{2}(-[2-5][0-9]{2})?)*$`)

// validMatcher accepts codes and ranges from 200 to 599, such as "200,301-399".
func validMatcher(codes string) bool {
	if !matcherPattern.MatchString(codes) {
		return false
	}
	for part := range strings.SplitSeq(codes, ",") {
		if low, high, isRange := strings.Cut(part, "-"); isRange && low > high {
			return false
		}
	}
	return true
}
