package main

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"

	"github.com/fairlead-lb/fairlead/internal/cli"
	"github.com/fairlead-lb/fairlead/internal/datapath"
	"github.com/fairlead-lb/fairlead/internal/edge"
	"github.com/fairlead-lb/fairlead/internal/proxy"
	"github.com/fairlead-lb/fairlead/internal/proxy/accesslog"
	"github.com/fairlead-lb/fairlead/internal/proxy/httplb"
)

// socketFlags are the flags of fairlead edge about listeners in user space.
type socketFlags struct {
	dataPath, address         string
	accessLogDir, accessLogS3 string
	drain, handover           time.Duration
}

// Values of --data-path.
const (
	pathXDP       = "xdp"
	pathUserspace = "userspace"
	pathAuto      = "auto"
)

func (f *socketFlags) register(flags *pflag.FlagSet) {
	flags.StringVar(&f.dataPath, "data-path", pathXDP, "xdp; userspace, which serves TCP listeners alone, at --userspace-address, without the client's address and without root; auto: xdp where it can be had")
	flags.StringVar(&f.address, "userspace-address", "127.0.0.1", "address of this machine where all listeners are when --data-path is userspace; load balancers' names do not lead there")
	flags.StringVar(&f.accessLogDir, "access-log-dir", "", "directory to deliver access logs of TLS listeners and Classic Load Balancers to, below it BUCKET/KEY; empty: none are kept unless --access-log-s3 is set")
	flags.StringVar(&f.accessLogS3, "access-log-s3", "", "URL of an S3 service to deliver access logs to instead, with AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN")
	flags.DurationVar(&f.drain, "drain-timeout", 0, "how long connections of listeners in user space may finish when the edge ends")
	flags.DurationVar(&f.handover, "handover-timeout", time.Hour, "the same when another edge over the same state directory takes its place")
}

func (f *socketFlags) validate(p *cli.Problems) {
	p.Unless(slices.Contains([]string{pathXDP, pathUserspace, pathAuto}, f.dataPath), "--data-path %q: must be xdp, userspace or auto", f.dataPath)
	_, err := netip.ParseAddr(f.address)
	p.Unless(err == nil, "--userspace-address %q: must be an address such as 127.0.0.1", f.address)
	p.Unless(f.accessLogDir == "" || f.accessLogS3 == "", "--access-log-dir and --access-log-s3 exclude each other")
	if f.accessLogS3 != "" {
		p.Unless(isURL(f.accessLogS3), "--access-log-s3 %q: must be a URL such as https://s3.us-west-2.amazonaws.com", f.accessLogS3)
	}
	p.Unless(f.drain >= 0, "--drain-timeout %s: must not be negative", f.drain)
	p.Unless(f.handover >= 0, "--handover-timeout %s: must not be negative", f.handover)
}

// keepsLogs says whether access logs go anywhere.
func (f *socketFlags) keepsLogs() bool { return f.accessLogDir != "" || f.accessLogS3 != "" }

// sockets are the parts that serve listeners in user space.
type sockets struct {
	server *proxy.Server
	http   *httplb.Handler
	spool  *accesslog.Spool // nil: no access logs
	log    *slog.Logger

	succeeded bool // a successor has come
}

// openSockets makes them ready, with the sockets of an edge that runs already
// over the same state directory: it has let go of all else when this returns.
// Access logs wait for their delivery in that directory.
func openSockets(ctx context.Context, f edgeFlags, metrics prometheus.Registerer) (*sockets, error) {
	log := f.dataPath.Logger
	s := &sockets{log: log}
	inherited, err := proxy.TakeSockets(ctx, f.handover())
	if err == nil {
		err = inherited.Release()
	}
	if err != nil {
		log.Warn("the edge before does not hand its sockets over", "error", err)
	}
	if f.sockets.keepsLogs() {
		s.spool, err = accesslog.Open(accesslog.Options{
			Dir: filepath.Join(f.stateDir, "access-logs"), Deliver: f.deliverer(), Log: log, Metrics: metrics,
		})
		if err != nil {
			return nil, err
		}
	}
	if s.http, err = httplb.New(httplb.Options{Metrics: metrics, AccessLog: s.spool}); err != nil {
		return nil, err
	}
	loops := runtime.GOMAXPROCS(0)
	runtime.GOMAXPROCS(loops + 1) // as proxy.Options says
	s.server, err = proxy.New(proxy.Options{Loops: loops, Log: log, Metrics: metrics, HTTP: s.http, AccessLog: s.spool, DrainTimeout: f.sockets.drain, HandoverTimeout: f.sockets.handover, Inherited: inherited})
	return s, err
}

// handover is where an edge offers its sockets to its successor.
func (f edgeFlags) handover() string { return filepath.Join(f.stateDir, "sockets") }

// offer hands the sockets to a successor, if one comes before ctx ends. letGo
// frees what only one edge can have.
func (s *sockets) offer(ctx context.Context, path string, letGo func()) {
	err := s.server.OfferSockets(ctx, path, letGo)
	switch {
	case err == nil:
		s.succeeded = true
		s.log.Info("a successor has the sockets; connections may finish")
	case ctx.Err() == nil:
		s.log.Warn("no successor can take the sockets over", "error", err)
	}
}

func (f edgeFlags) deliverer() accesslog.Deliverer {
	if f.sockets.accessLogS3 == "" {
		return accesslog.Directory(f.sockets.accessLogDir)
	}
	// us-west-2a lies in us-west-2.
	region := cmp.Or(os.Getenv("AWS_REGION"), strings.TrimRight(f.zone, "abcdefghijklmnopqrstuvwxyz"))
	return &accesslog.S3{Endpoint: f.sockets.accessLogS3, Region: region, Credentials: aws.CredentialsProviderFunc(environment)}
}

func environment(context.Context) (aws.Credentials, error) {
	c := aws.Credentials{
		AccessKeyID: os.Getenv("AWS_ACCESS_KEY_ID"), SecretAccessKey: os.Getenv("AWS_SECRET_ACCESS_KEY"),
		SessionToken: os.Getenv("AWS_SESSION_TOKEN"), Source: "environment",
	}
	if c.AccessKeyID == "" || c.SecretAccessKey == "" {
		return c, errors.New("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set")
	}
	return c, nil
}

// while serves connections while work works, and afterwards for as long as they
// may finish. Whoever writes a line as the last of them ends still finds someone
// to take it. A successor, who comes for the sockets at path, ends work and waits
// until it has ended.
func (s *sockets) while(ctx context.Context, path string, work func(context.Context) error) error {
	defer s.http.Close()
	if s.spool != nil {
		defer background(s.spool.Run)()
	}
	defer s.serve(ctx)()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan struct{})
	defer background(func(ctx context.Context) { s.offer(ctx, path, func() { stop(); <-ended }) })()
	defer close(ended)
	return work(ctx)
}

// serve serves until the function that it returns is called, which waits until
// the last connection has ended, or told has if a successor has come.
func (s *sockets) serve(told context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = s.server.Run(ctx) }()
	return func() {
		var now <-chan struct{}
		if s.succeeded {
			now = told.Done()
		}
		cancel()
		select {
		case <-done:
		case <-now:
		}
	}
}

// background runs something until the function that it returns is called, which
// waits for its end.
func background(run func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); run(ctx) }()
	return func() { cancel(); <-done }
}

// closer is a DataPath that has something to let go of.
type closer interface {
	edge.DataPath
	Close() error
}

type noPackets struct{ edge.NoPackets }

func (noPackets) Close() error { return nil }

// openDataPath opens what --data-path asks for. The address is valid where
// everything is served in user space.
func openDataPath(f edgeFlags) (closer, netip.Addr, error) {
	if f.sockets.dataPath != pathUserspace {
		d, err := datapath.Open(f.dataPath)
		if err == nil {
			return d, netip.Addr{}, nil
		}
		if f.sockets.dataPath == pathXDP {
			return nil, netip.Addr{}, err
		}
		f.dataPath.Logger.Warn("XDP cannot be had", "error", err)
	}
	address := netip.MustParseAddr(f.sockets.address) // validated
	f.dataPath.Logger.Warn("TCP listeners alone are served, in user space: targets see this machine's address, or the client's in a PROXY header",
		"address", address)
	return noPackets{}, address, nil
}
