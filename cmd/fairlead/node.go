package main

import (
	"context"
	"errors"
	"log/slog"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/fairlead-lb/fairlead/internal/cli"
	"github.com/fairlead-lb/fairlead/internal/node"
	"github.com/fairlead-lb/fairlead/internal/ops"
)

const (
	defaultNodePinDir  = "/sys/fs/bpf/fairlead/node"
	defaultNodeMetrics = "127.0.0.1:7452"
)

func newNodeCommand() *cobra.Command {
	var cfg node.Config
	var metricsListen string
	var level slog.Level
	cmd := &cobra.Command{
		Use:   "node",
		Short: "Send replies of this target back through the edge of their flow",
		Long: `Send replies of this target back through the edge of their flow.

Run it on every machine that is a target of load balancers which keep the
client's address. It needs no configuration of edges. When it ends, its programs
stay attached and traffic goes on; 'fairlead node detach' removes them.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkNode(cfg, metricsListen); err != nil {
				return err
			}
			cfg.Log = cli.Logger(os.Stderr, level)
			return explainNode(atUplink(cfg.Interface, runNode(cmd.Context(), cfg, metricsListen)))
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&cfg.Interface, "interface", "eth0", "the interface that edges reach this machine by")
	flags.Uint32Var(&cfg.MaxFlows, "max-flows", node.DefaultMaxFlows, "flows remembered at most, about 120 bytes each, allocated at the start")
	flags.StringVar(&metricsListen, "metrics-listen", defaultNodeMetrics, "address of /metrics, /healthz and /readyz; empty: none")
	cli.LogLevel(flags, &level)
	cmd.PersistentFlags().StringVar(&cfg.PinDir, "pin-dir", defaultNodePinDir, "directory where flows and programs outlive the process; it gets a BPF file system when it lies on none")
	cmd.AddCommand(&cobra.Command{
		Use:   "detach",
		Short: "Remove the programs and forget all flows",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if nothingPinned(cmd, cfg.PinDir) {
				return nil
			}
			return explainNode(node.Detach(cfg.PinDir))
		},
	})
	return cmd
}

func checkNode(cfg node.Config, metricsListen string) error {
	var p cli.Problems
	p.Unless(cfg.MaxFlows >= 1, "--max-flows 0: must be at least 1")
	p.Listen("metrics-listen", metricsListen)
	return p.Err()
}

func runNode(ctx context.Context, cfg node.Config, metricsListen string) error {
	registry := prometheus.NewRegistry()
	cfg.Metrics = registry
	ln, err := ops.Listen(metricsListen)
	if err != nil {
		return err
	}
	helper, err := node.Open(cfg)
	if err != nil {
		return err
	}
	defer helper.Close()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return helper.Run(ctx) })
	group.Go(func() error { return ops.Serve(ctx, ln, ops.Endpoints{Metrics: registry}.Handler()) })
	return group.Wait()
}

// explainNode adds the next step to errors that have one. Being told to stop is
// no error.
func explainNode(err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return nil
	}
	explained := &cli.Error{What: "run the node helper", Err: err, Hint: pinHint(err, "helper")}
	switch {
	case explained.Hint != "":
	case errors.Is(err, node.ErrKernel):
		explained.Hint = "run Linux 6.6 or later on targets, or turn client IP preservation off for their target groups"
	case errors.Is(err, os.ErrPermission):
		explained.Hint = "run it as root, or with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON"
	}
	return explained
}
