package elb

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing/types"

	"github.com/fairlead-lb/fairlead/internal/engine/balancing"
	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/store"
)

// onlyOK is the one answer that a Classic health check passes with.
const onlyOK = "200"

// maxTarget is the length of a target in UTF-16 units.
const maxTarget = 1024

// defaultHealthCheck is that of a new load balancer: a connection to the first
// listener's instance port.
func defaultHealthCheck(listeners []lb.ClassicListener) state.ClassicHealthCheck {
	port := strconv.Itoa(int(listeners[0].InstancePort))
	return state.ClassicHealthCheck{Target: "TCP:" + port, Check: lb.HealthCheck{
		Protocol: lb.TCP, Port: port, Interval: 30 * time.Second, Timeout: 5 * time.Second, HealthyThreshold: 10, UnhealthyThreshold: 2,
	}}
}

func (s *Service) configureHealthCheck(ctx context.Context, in *elb.ConfigureHealthCheckInput) (*elb.ConfigureHealthCheckOutput, error) {
	b, err := s.edit(ctx, balancing.Action{Name: "ConfigureHealthCheck"}, in.LoadBalancerName, func(_ *store.Tx, b *state.ClassicLoadBalancer) error {
		check, err := newHealthCheck(in.HealthCheck)
		b.HealthCheck = check
		return err
	})
	if err != nil {
		return nil, err
	}
	return &elb.ConfigureHealthCheckOutput{HealthCheck: describeHealthCheck(b.HealthCheck)}, nil
}

// newHealthCheck checks a request; the members are there.
func newHealthCheck(in *types.HealthCheck) (state.ClassicHealthCheck, error) {
	for _, member := range []struct {
		name      string
		value     *int32
		low, high int32
	}{
		{"healthCheck.interval", in.Interval, 5, 300},
		{"healthCheck.timeout", in.Timeout, 2, 60},
		{"healthCheck.unhealthyThreshold", in.UnhealthyThreshold, 2, 10},
		{"healthCheck.healthyThreshold", in.HealthyThreshold, 2, 10},
	} {
		if err := balancing.CheckRange(member.name, member.value, member.low, member.high); err != nil {
			return state.ClassicHealthCheck{}, err
		}
	}
	if *in.Timeout >= *in.Interval {
		return state.ClassicHealthCheck{}, invalid("HealthCheck timeout must be less than interval: the timeout is %d seconds, the interval %d", *in.Timeout, *in.Interval)
	}
	check, err := parseTarget(*in.Target)
	if err != nil {
		return state.ClassicHealthCheck{}, err
	}
	check.Interval, check.Timeout = time.Duration(*in.Interval)*time.Second, time.Duration(*in.Timeout)*time.Second
	check.HealthyThreshold, check.UnhealthyThreshold = int(*in.HealthyThreshold), int(*in.UnhealthyThreshold)
	return state.ClassicHealthCheck{Target: *in.Target, Check: check}, nil
}

// protocols are those of listeners, instances and health checks.
var protocols = []lb.Protocol{lb.HTTP, lb.HTTPS, lb.TCP, lb.SSL}

var pathPattern = regexp.MustCompile(`^/[^\s#\x00-\x1f\x7f]*$`)

// parseTarget reads what a health check asks: TCP:port, SSL:port,
// HTTP:port/path or HTTPS:port/path (HealthCheck in the API reference).
func parseTarget(target string) (lb.HealthCheck, error) {
	if len(utf16.Encode([]rune(target))) > maxTarget {
		return lb.HealthCheck{}, invalid("HealthCheck target cannot be longer than %d characters", maxTarget)
	}
	word, rest, _ := strings.Cut(target, ":")
	check := lb.HealthCheck{Protocol: lb.Protocol(strings.ToUpper(word))}
	if !slices.Contains(protocols, check.Protocol) {
		return check, invalid("HealthCheck target '%s' must begin with one of HTTP, HTTPS, TCP, SSL and a colon", target)
	}
	slash := strings.IndexByte(rest, '/')
	if check.Protocol == lb.HTTP || check.Protocol == lb.HTTPS {
		if slash < 0 {
			return check, invalid("HealthCheck %s target '%s' must specify a port followed by a path that begins with a slash, such as %[1]s:80/ping", check.Protocol, target)
		}
		check.Matcher, check.Path, rest = onlyOK, rest[slash:], rest[:slash]
		if !pathPattern.MatchString(check.Path) {
			return check, invalid("HealthCheck target '%s' has a path with characters that are not valid", target)
		}
	} else if slash >= 0 {
		return check, invalid("HealthCheck %s target '%s' must specify a port and nothing else, such as %[1]s:80", check.Protocol, target)
	}
	port, err := strconv.ParseUint(rest, 10, 16)
	if err != nil || port == 0 {
		return check, invalid("HealthCheck target '%s' must specify a port between 1 and 65535", target)
	}
	check.Port = fmt.Sprint(port)
	return check, nil
}

func describeHealthCheck(h state.ClassicHealthCheck) *types.HealthCheck {
	return &types.HealthCheck{
		Target: &h.Target, Interval: seconds(h.Check.Interval), Timeout: seconds(h.Check.Timeout),
		HealthyThreshold: aws.Int32(int32(h.Check.HealthyThreshold)), UnhealthyThreshold: aws.Int32(int32(h.Check.UnhealthyThreshold)),
	}
}

func seconds(d time.Duration) *int32 { return aws.Int32(int32(d / time.Second)) }
