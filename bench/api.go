package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	elbv2 "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"golang.org/x/sync/errgroup"
)

// How much is measured.
const (
	fillers       = 8  // callers that create load balancers
	targetsEach   = 10 // of a load balancer, one per instance
	oneAtATime    = 1000
	mixedCallers  = 50
	mixedDuration = 10 * time.Second
	starts        = 9
	idle          = 3 * time.Second // before memory is looked at
)

// stock is an engine with load balancers of one listener and one target group
// with ten targets each, made through the API.
type stock struct {
	engine *engineProcess
	groups []string // ARNs, by number of the load balancer
	rows   []Row
}

// api measures one engine, in a process of its own, while it fills up.
func api(ctx context.Context, p programs) ([]Row, error) {
	dir, err := os.MkdirTemp("", "bench-api-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	e, err := newEngineProcess(p.fairlead, dir, targetsEach)
	if err != nil {
		return nil, err
	}
	if _, err := e.start(ctx); err != nil {
		return nil, err
	}
	s := &stock{engine: e}
	for _, step := range []func(context.Context) error{
		s.memoryAtMost(0, 40), s.fillAndDescribe(1), s.fillAndDescribe(100),
		s.fill(1000), s.memoryAtMost(1000, 120), s.registerMany, s.mixed, s.startAgain,
		s.fill(10_000), s.memoryAtMost(10_000, 700), s.describe(10_000),
	} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return s.rows, e.stop()
}

func balancerName(i int) string { return fmt.Sprintf("bench-%d", i) }

func (s *stock) fillAndDescribe(n int) func(context.Context) error {
	return func(ctx context.Context) error {
		if err := s.fill(n)(ctx); err != nil {
			return err
		}
		return s.describe(n)(ctx)
	}
}

// fill creates load balancers until there are n. The rate counts when there are
// enough of them to be one.
func (s *stock) fill(n int) func(context.Context) error {
	return func(ctx context.Context) error {
		first := len(s.groups)
		s.groups = append(s.groups, make([]string, n-first)...)
		client := s.engine.client(fillers)
		var next atomic.Int64
		next.Store(int64(first))
		begin := time.Now()
		group, ctx := errgroup.WithContext(ctx)
		for range fillers {
			group.Go(func() error {
				for {
					i := int(next.Add(1)) - 1
					if i >= n {
						return nil
					}
					arn, err := stocked(i).create(ctx, client)
					if err != nil {
						return fmt.Errorf("create load balancer %d: %w", i, err)
					}
					s.groups[i] = arn
				}
			})
		}
		err := group.Wait()
		if made := n - first; made >= 900 {
			const callsEach = 4
			s.rows = append(s.rows, Row{Name: fmt.Sprintf("api.create.up_to_%d.calls_per_s", n), Unit: "calls/s", Value: callsEach * float64(made) / time.Since(begin).Seconds()})
		}
		return err
	}
}

// balancer is a load balancer with a listener and a target group of one port.
type balancer struct {
	name         string
	subnets      []string
	port         int32
	instances    []string
	checkSeconds int32 // between health checks; 0: AWS's default
}

func stocked(i int) balancer {
	b := balancer{name: balancerName(i), subnets: []string{subnetID(0), subnetID(1)}, port: 30080}
	for n := range targetsEach {
		b.instances = append(b.instances, instanceID(n))
	}
	return b
}

// create makes it with four calls.
func (b balancer) create(ctx context.Context, c *elbv2.Client) (groupARN string, err error) {
	made, err := c.CreateLoadBalancer(ctx, &elbv2.CreateLoadBalancerInput{Name: &b.name, Type: types.LoadBalancerTypeEnumNetwork, Subnets: b.subnets})
	if err != nil {
		return "", err
	}
	group := &elbv2.CreateTargetGroupInput{Name: &b.name, Protocol: types.ProtocolEnumTcp, Port: &b.port, VpcId: aws.String(vpcID)}
	if b.checkSeconds > 0 {
		group.HealthCheckIntervalSeconds = &b.checkSeconds
	}
	g, err := c.CreateTargetGroup(ctx, group)
	if err != nil {
		return "", err
	}
	arn := g.TargetGroups[0].TargetGroupArn
	var targets []types.TargetDescription
	for _, id := range b.instances {
		targets = append(targets, types.TargetDescription{Id: &id, Port: &b.port})
	}
	if _, err := c.RegisterTargets(ctx, &elbv2.RegisterTargetsInput{TargetGroupArn: arn, Targets: targets}); err != nil {
		return "", err
	}
	_, err = c.CreateListener(ctx, &elbv2.CreateListenerInput{
		LoadBalancerArn: made.LoadBalancers[0].LoadBalancerArn, Protocol: types.ProtocolEnumTcp, Port: aws.Int32(80),
		DefaultActions: []types.Action{{Type: types.ActionTypeEnumForward, TargetGroupArn: arn}},
	})
	return *arn, err
}

// targets are every instance on each of some ports.
func targets(ports int, from int32) []types.TargetDescription {
	var all []types.TargetDescription
	for port := range int32(ports) {
		for i := range targetsEach {
			all = append(all, types.TargetDescription{Id: aws.String(instanceID(i)), Port: aws.Int32(from + port)})
		}
	}
	return all
}

// repeat times a call made by one caller, one after the other, and what the
// engine allocates for it.
func (s *stock) repeat(name string, n int, call func() error) error {
	var times sample
	before, err := s.engine.allocations()
	if err != nil {
		return err
	}
	for range n {
		begin := time.Now()
		if err := call(); err != nil {
			return err
		}
		times.add(time.Since(begin))
	}
	after, err := s.engine.allocations()
	s.rows = append(s.rows, times.rows(name)...)
	s.rows = append(s.rows, Row{Name: name + ".allocs", Unit: "allocs/call", Value: (after - before) / float64(n)})
	return err
}

func (s *stock) describe(n int) func(context.Context) error {
	return func(ctx context.Context) error {
		client := s.engine.client(1)
		return s.repeat(fmt.Sprintf("api.describe_by_name.of_%d", n), oneAtATime, func() error {
			_, err := client.DescribeLoadBalancers(ctx, &elbv2.DescribeLoadBalancersInput{Names: []string{balancerName(rand.IntN(n))}})
			return err
		})
	}
}

// registerMany registers 200 targets in one call, and takes them away outside
// of what is measured.
func (s *stock) registerMany(ctx context.Context) error {
	client, group, many := s.engine.client(1), s.groups[0], targets(20, 31000)
	var register sample
	for range 100 {
		begin := time.Now()
		if _, err := client.RegisterTargets(ctx, &elbv2.RegisterTargetsInput{TargetGroupArn: &group, Targets: many}); err != nil {
			return err
		}
		register.add(time.Since(begin))
		if _, err := client.DeregisterTargets(ctx, &elbv2.DeregisterTargetsInput{TargetGroupArn: &group, Targets: many}); err != nil {
			return err
		}
	}
	s.rows = append(s.rows, register.rows("api.register_targets.200")...)
	return nil
}

// mixed is 50 callers at once: of 10 calls, 7 describe a load balancer, 2 ask
// for target health, 1 registers a target.
func (s *stock) mixed(ctx context.Context) error {
	client := s.engine.client(mixedCallers)
	var times sample
	begin := time.Now()
	group, ctx := errgroup.WithContext(ctx)
	for caller := range mixedCallers {
		random := rand.New(rand.NewPCG(1, uint64(caller)))
		group.Go(func() error {
			for time.Since(begin) < mixedDuration {
				start := time.Now()
				if err := s.anyCall(ctx, client, random); err != nil {
					return err
				}
				times.add(time.Since(start))
			}
			return nil
		})
	}
	err := group.Wait()
	s.rows = append(s.rows, times.rows("api.mixed_50_callers")...)
	s.rows = append(s.rows, Row{Name: "api.mixed_50_callers.calls_per_s", Unit: "calls/s", Value: float64(len(times.times)) / time.Since(begin).Seconds()})
	return err
}

func (s *stock) anyCall(ctx context.Context, c *elbv2.Client, random *rand.Rand) (err error) {
	i := random.IntN(len(s.groups))
	switch kind := random.IntN(10); {
	case kind < 7:
		_, err = c.DescribeLoadBalancers(ctx, &elbv2.DescribeLoadBalancersInput{Names: []string{balancerName(i)}})
	case kind < 9:
		_, err = c.DescribeTargetHealth(ctx, &elbv2.DescribeTargetHealthInput{TargetGroupArn: &s.groups[i]})
	default:
		_, err = c.RegisterTargets(ctx, &elbv2.RegisterTargetsInput{TargetGroupArn: &s.groups[i], Targets: []types.TargetDescription{
			{Id: aws.String(instanceID(random.IntN(targetsEach))), Port: aws.Int32(int32(32000 + random.IntN(10)))},
		}})
	}
	return err
}

// memoryAtMost looks at the engine as it is after what it did, not after a
// restart: that is what its users pay for. The part of it that is the program
// itself, mapped from its file, is in the whole and not in the data.
func (s *stock) memoryAtMost(n int, limit float64) func(context.Context) error {
	return func(context.Context) error {
		time.Sleep(idle)
		pid := s.engine.cmd.Process.Pid
		whole, err := resident(pid, "VmRSS")
		if err != nil {
			return err
		}
		data, err := resident(pid, "RssAnon")
		name := fmt.Sprintf("api.memory.with_%d", n)
		s.rows = append(s.rows, Row{Name: name, Unit: "MB", Value: whole}.atMost(limit), Row{Name: name + ".data", Unit: "MB", Value: data})
		return err
	}
}

// startAgain restarts the engine on the state that it has.
func (s *stock) startAgain(ctx context.Context) error {
	var times sample
	for range starts {
		if err := s.engine.stop(); err != nil {
			return err
		}
		took, err := s.engine.start(ctx)
		if err != nil {
			return err
		}
		times.add(took)
	}
	s.rows = append(s.rows, Row{Name: fmt.Sprintf("api.start.with_%d", len(s.groups)), Unit: "ms", Value: times.at(0.5)}.atMost(150))
	return nil
}
