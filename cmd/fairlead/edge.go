package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/fairlead-lb/fairlead/internal/cli"
	"github.com/fairlead-lb/fairlead/internal/datapath"
	"github.com/fairlead-lb/fairlead/internal/edge"
	"github.com/fairlead-lb/fairlead/internal/edgeapi"
	"github.com/fairlead-lb/fairlead/internal/health"
	"github.com/fairlead-lb/fairlead/internal/ops"
)

const (
	defaultEdgePinDir   = "/sys/fs/bpf/fairlead/edge"
	defaultEdgeStateDir = "/var/lib/fairlead/edge"
	defaultEdgeMetrics  = "127.0.0.1:7451"
)

// edgeFlags are the flags of fairlead edge.
type edgeFlags struct {
	zone, engine, identity, stateDir, metricsListen string
	dataPath                                        datapath.Config
	xdpMode                                         string
	sockets                                         socketFlags
	level                                           slog.Level
}

// xdpModes are the values of --xdp-mode.
var xdpModes = map[string]datapath.Mode{"native": datapath.Native, "generic": datapath.Generic, pathAuto: ""}

func newEdgeCommand() *cobra.Command {
	var f edgeFlags
	cmd := &cobra.Command{
		Use:   "edge",
		Short: "Forward the traffic of one zone's load balancers",
		Long: `Forward the traffic of one zone's load balancers and check their targets.

The engine says what to forward ('fairlead engine issue-edge' makes the identity
that this needs). Without the engine the edge goes on with what it knows. When it
ends, its program stays attached and traffic goes on; 'fairlead edge detach'
removes it.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.validate(); err != nil {
				return err
			}
			f.dataPath.Mode = xdpModes[f.xdpMode]
			f.dataPath.Logger = cli.Logger(os.Stderr, f.level)
			return explainEdge("run the edge", atUplink(f.dataPath.Interface, runEdge(cmd.Context(), f)))
		},
	}
	flags, common := cmd.Flags(), cmd.PersistentFlags()
	flags.StringVar(&f.zone, "zone", "", "the zone that this edge serves, such as us-west-2a (required)")
	flags.StringVar(&f.engine, "engine", "", "host:port where the engine listens for edges (required)")
	flags.StringVar(&f.identity, "identity", "", "directory with ca.crt, edge.crt and edge.key (required)")
	flags.IntVar(&f.dataPath.Flows, "flows", 1<<20, "room for this many flows, 144 bytes each; a pinned table keeps its own")
	flags.StringVar(&f.xdpMode, "xdp-mode", pathAuto, "native; generic, which works on every interface and costs several times more; auto: native where the driver can and the uplink is no veth, whose peer has to take part. A change takes a moment without forwarding")
	flags.BoolVar(&f.dataPath.Echo, "echo", false, "answer echo requests to load balancer addresses; a Network Load Balancer does not")
	flags.StringVar(&f.metricsListen, "metrics-listen", defaultEdgeMetrics, "address of /metrics, /healthz, /readyz and /state; empty: none")
	f.sockets.register(flags)
	cli.LogLevel(flags, &f.level)
	common.StringVar(&f.dataPath.Interface, "interface", "eth0", "the uplink: clients and targets are reached by it")
	common.StringVar(&f.dataPath.PinDir, "pin-dir", defaultEdgePinDir, "directory where flows and program outlive the process; it gets a BPF file system when it lies on none")
	common.StringVar(&f.stateDir, "state-dir", defaultEdgeStateDir, "directory of this edge alone, for the last snapshot and health")
	cmd.AddCommand(&cobra.Command{
		Use:   "detach",
		Short: "Stop forwarding and forget all flows",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if nothingPinned(cmd, f.dataPath.PinDir) {
				return nil
			}
			return explainEdge("detach the edge", detachEdge(f))
		},
	})
	return cmd
}

// validate reports everything that is wrong with the flags at once.
func (f edgeFlags) validate() error {
	var p cli.Problems
	p.Required("zone", f.zone)
	p.Required("engine", f.engine)
	p.Required("identity", f.identity)
	if f.engine != "" {
		p.HostPort("engine", f.engine)
	}
	p.Listen("metrics-listen", f.metricsListen)
	_, ok := xdpModes[f.xdpMode]
	p.Unless(ok, "--xdp-mode %q: must be native, generic or auto", f.xdpMode)
	p.Unless(f.dataPath.Flows >= 1, "--flows %d: must be at least 1", f.dataPath.Flows)
	f.sockets.validate(&p)
	return p.Err()
}

func runEdge(ctx context.Context, f edgeFlags) error {
	log := f.dataPath.Logger
	client, err := edgeapi.NewClient(edgeapi.ClientConfig{Engine: f.engine, Zone: f.zone, IdentityDir: f.identity, Log: log})
	if err != nil {
		return &cli.Error{What: "run the edge", Err: err, Hint: "issue an identity with 'fairlead engine issue-edge --zone " + f.zone + " --out DIR'"}
	}
	registry := prometheus.NewRegistry()
	metrics := prometheus.WrapRegistererWith(prometheus.Labels{"zone": f.zone}, registry) // CloudWatch's AvailabilityZone
	sockets, err := openSockets(ctx, f, metrics)
	if err != nil {
		return err
	}
	ln, err := ops.Listen(f.metricsListen)
	if err != nil {
		return err
	}
	disk, err := edge.OpenDisk(f.stateDir, f.zone, edge.SealWithIdentity(f.identity), log)
	if err != nil {
		return err
	}
	closeDisk := sync.OnceValue(disk.Close)
	defer func() { _ = closeDisk() }() // reads go on without it
	dataPath, ordinary, err := openDataPath(f)
	if err != nil {
		return err
	}
	closeDataPath := sync.OnceValue(dataPath.Close)
	defer func() { _ = closeDataPath() }() // its program goes on without it
	var prober health.NetProber            // the kernel chooses where from, unless clients do come to the uplink
	if !ordinary.IsValid() {
		if prober.Source4, prober.Source6, err = edge.SourceAddresses(f.dataPath.Interface); err != nil {
			return err
		}
	}
	e, err := edge.New(edge.Config{
		Zone: f.zone, Disk: disk, Link: client, DataPath: dataPath, Proxy: sockets.server, Ordinary: ordinary, AccessLogs: f.sockets.keepsLogs(),
		Prober: prober, Log: log, Metrics: metrics,
	})
	if err != nil {
		return err
	}
	endpoints := ops.Endpoints{Metrics: registry, Ready: e.Ready, State: func() any { return e.State() }}
	return sockets.while(ctx, f.handover(), func(ctx context.Context) error {
		group, ctx := errgroup.WithContext(ctx)
		group.Go(func() error { return e.Run(ctx) })
		group.Go(func() error { return ops.Serve(ctx, ln, endpoints.Handler()) })
		return errors.Join(group.Wait(), closeDataPath(), closeDisk())
	})
}

// detachEdge takes the state directory first, so that it does not pull the data
// path away from under a running edge.
func detachEdge(f edgeFlags) error {
	disk, err := edge.OpenDisk(f.stateDir, "", edge.SealWithIdentity(f.identity), slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer disk.Close()
	dataPath, err := datapath.Open(f.dataPath)
	if err != nil {
		return err
	}
	return errors.Join(dataPath.Detach(), dataPath.Close())
}

// explainEdge adds the next step to errors that have one. Being told to stop is
// no error.
func explainEdge(what string, err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return nil
	}
	if _, done := errors.AsType[*cli.Error](err); done {
		return err
	}
	explained := &cli.Error{What: what, Err: err, Hint: pinHint(err, "edge")}
	switch {
	case explained.Hint != "":
	case errors.Is(err, unix.EBUSY):
		explained.Hint = "take the other XDP program off the uplink: 'fairlead edge detach' with its --pin-dir and --state-dir if it is an edge's, otherwise 'ip link set dev INTERFACE xdp off'"
	case errors.Is(err, os.ErrPermission):
		explained.Hint = "run it as root, or with CAP_BPF, CAP_NET_ADMIN, CAP_NET_RAW, CAP_PERFMON and rights to its directories; --data-path=userspace needs only the latter"
	}
	return explained
}
