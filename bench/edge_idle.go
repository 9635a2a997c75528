package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/fairlead-lb/fairlead/internal/netlab"
)

const (
	idleGroups    = 1000
	idlePort0     = 30000 // of the first group's targets
	idleInterval  = 10    // seconds between checks of a target
	idlePatience  = 5 * time.Minute
	idleSettle    = 20 * time.Second
	idleLook      = 30 * time.Second
	idleTolerated = 0.9 // of the checks must be seen by the targets
)

// edgeIdle measures what an edge costs that forwards nothing: `fairlead edge` with
// a thousand load balancers, a target group each, as node ports are: all have the
// same ten machines, each group a port of its own. Engine and edge run as their
// users run them; the targets accept each check's connection.
func edgeIdle(ctx context.Context, p programs) (rows []Row, err error) {
	dir, err := os.MkdirTemp("", "fairlead-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	site := idleSite(fmt.Sprintf("flidle%d-", os.Getpid()))
	defer func() { err = errors.Join(err, deleteNetwork(site)) }()
	if err := netlab.Apply(site); err != nil {
		return nil, err
	}
	accepting, err := acceptAll(site.Namespaces[1].Name, idlePort0, idleGroups)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, accepting.close()) }()
	launcher := netlab.NewLauncher()
	defer launcher.Close()
	e, err := newEngineProcess(p.fairlead, dir, 2*targetsEach)
	if err != nil {
		return nil, err
	}
	e.launcher, e.namespace = launcher, site.Namespaces[0].Name
	if _, err := e.start(ctx); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, e.stop()) }()
	if err := e.fillForEdge(ctx); err != nil {
		return nil, err
	}
	edge, err := e.startEdge(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, edge.stop()) }()
	if err := edge.awaitHealthy(ctx, idleGroups*targetsEach); err != nil {
		return nil, err
	}
	return edge.look(ctx, accepting)
}

// idleSite is an edge and a namespace that answers for the machines of its zone.
func idleSite(prefix string) netlab.Topology {
	edge := netlab.Port{Namespace: prefix + "edge", Name: "eth0", Addresses: onSegment(4)[:1]}
	far := netlab.Port{Namespace: prefix + "targets", Name: "eth0", FacesXDP: true}
	machines := network(2 * targetsEach).Instances
	for i := range targetsEach {
		addr := machines[2*i].Interfaces[0].Addresses[0]
		far.Addresses = append(far.Addresses, netip.PrefixFrom(addr, 16))
	}
	return netlab.Topology{
		Namespaces: []netlab.Namespace{{Name: edge.Namespace}, {Name: far.Namespace}},
		Cables:     []netlab.Cable{{A: edge, B: far}},
	}
}

// fillForEdge makes the load balancers, and lets everything in to their targets.
func (e *engineProcess) fillForEdge(ctx context.Context) error {
	rules := ec2.New(ec2.Options{Region: region, BaseEndpoint: aws.String("http://" + e.address), HTTPClient: e.http(1), Credentials: e.credentials()})
	_, err := rules.AuthorizeSecurityGroupIngress(ctx, &ec2.AuthorizeSecurityGroupIngressInput{
		GroupId: aws.String(nodesGroup), IpPermissions: []ec2types.IpPermission{{IpProtocol: aws.String("-1"), IpRanges: []ec2types.IpRange{{CidrIp: aws.String("0.0.0.0/0")}}}},
	})
	if err != nil {
		return err
	}
	client := e.client(fillers)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(fillers)
	for i := range idleGroups {
		group.Go(func() error {
			b := balancer{name: balancerName(i), subnets: []string{subnetID(0)}, port: idlePort0 + int32(i), checkSeconds: idleInterval}
			for n := range targetsEach {
				b.instances = append(b.instances, instanceID(2*n)) // those of the first zone
			}
			_, err := b.create(ctx, client)
			return err
		})
	}
	return group.Wait()
}

// edgeProcess is `fairlead edge` as its users run it.
type edgeProcess struct {
	command
	pins    string
	metrics string
	http    *http.Client
}

func (e *engineProcess) startEdge(ctx context.Context) (*edgeProcess, error) {
	identity := filepath.Join(e.dir, "identity")
	issue := exec.CommandContext(ctx, e.program, "engine", "issue-edge", "--state-dir="+filepath.Join(e.dir, "state"), "--zone="+zones[0], "--out="+identity)
	if out, err := issue.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("issue the edge's identity: %w: %s", err, out)
	}
	metrics, err := freeAddress()
	if err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(e.dir, "edge.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close() // the process has its own
	edge := &edgeProcess{pins: filepath.Join(e.dir, "pins"), metrics: metrics, http: e.http(1)}
	edge.Cmd = exec.CommandContext(ctx, e.program, "edge", "--zone="+zones[0], "--interface=eth0", "--xdp-mode=native", "--engine="+e.edges,
		"--identity="+identity, "--state-dir="+filepath.Join(e.dir, "edge"), "--pin-dir="+edge.pins, "--metrics-listen="+metrics)
	edge.Stdout, edge.Stderr = log, log
	edge.SysProcAttr = diesWithParent()
	return edge, e.launcher.Start(edge.Cmd, e.namespace)
}

// stop ends the process, and the program that outlives it.
func (e *edgeProcess) stop() error {
	e.Stop()
	if err := unix.Unmount(e.pins, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("take the edge's pins away: %w", err)
	}
	return nil
}

// awaitHealthy returns when the edge finds so many targets healthy.
func (e *edgeProcess) awaitHealthy(ctx context.Context, n float64) error {
	begin := time.Now()
	for {
		healthy, err := scrape(e.http, e.metrics, "fairlead_healthy_host_count")
		switch {
		case err == nil && healthy == n:
			fmt.Fprintf(os.Stderr, "   %.0f targets healthy after %v\n", n, time.Since(begin).Round(time.Second))
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case time.Since(begin) > idlePatience:
			return errors.Join(fmt.Errorf("the edge finds %.0f of %.0f targets healthy after %v", healthy, n, idlePatience), err)
		}
		time.Sleep(time.Second)
	}
}

// look watches the edge doing nothing but checks.
func (e *edgeProcess) look(ctx context.Context, a *acceptors) ([]Row, error) {
	if err := pause(ctx, idleSettle); err != nil {
		return nil, err
	}
	before, err := processorTime(e.PID())
	if err != nil {
		return nil, err
	}
	accepted, begin := a.accepted.Load(), time.Now()
	if err := pause(ctx, idleLook); err != nil {
		return nil, err
	}
	after, err := processorTime(e.PID())
	if err != nil {
		return nil, err
	}
	seconds := time.Since(begin).Seconds()
	checks := float64(a.accepted.Load()-accepted) / seconds
	if want := float64(idleGroups * targetsEach / idleInterval); checks < idleTolerated*want {
		return nil, fmt.Errorf("the targets saw %.0f checks a second instead of %.0f", checks, want)
	}
	whole, err1 := resident(e.PID(), "VmRSS")
	data, err2 := resident(e.PID(), "RssAnon")
	fmt.Fprintf(os.Stderr, "   load averages: %s\n", loadAverages())
	const name = "datapath.edge_idle."
	return []Row{
		{Name: name + "checks", Unit: "1/s", Value: checks},
		{Name: name + "cpu", Unit: "ms/s", Value: 1000 * (after.user + after.system - before.user - before.system) / seconds},
		{Name: name + "cpu_user", Unit: "ms/s", Value: 1000 * (after.user - before.user) / seconds},
		{Name: name + "memory", Unit: "MB", Value: whole},
		{Name: name + "memory.data", Unit: "MB", Value: data},
	}, errors.Join(err1, err2)
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
