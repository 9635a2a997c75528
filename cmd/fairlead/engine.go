package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"regexp"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"

	"github.com/fairlead-lb/fairlead/internal/cli"
	"github.com/fairlead-lb/fairlead/internal/engine"
	"github.com/fairlead-lb/fairlead/internal/engine/elb"
	"github.com/fairlead-lb/fairlead/internal/engine/elbv2"
	"github.com/fairlead-lb/fairlead/internal/engine/sealed"
	"github.com/fairlead-lb/fairlead/internal/store"
)

const (
	defaultEngineState = "/var/lib/fairlead/engine"
	engineWhat         = "run the engine"
)

// engineFlags are the flags of `fairlead engine`.
type engineFlags struct {
	config            engine.Config
	listeners         engine.Listeners
	http, anyHTTP     bool
	certFile, keyFile string
	tlsHosts          []string
	level             slog.Level
	trouble           troubleFlags
}

func newEngineCommand() *cobra.Command {
	f := engineFlags{config: engine.Config{Quotas: elbv2.DefaultQuotas(), Classic: elb.DefaultQuotas()}}
	cmd := &cobra.Command{
		Use:   "engine",
		Short: "Serve the AWS load balancing API and steer the edges",
		Long: `Serve the AWS load balancing API and steer the edges.

The engine answers ELBv2, EC2 and STS calls of any AWS client, keeps the state
in one file, sends every edge its part and resolves the names of load balancers.
At its first start it makes a root key and prints it once.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd.Context(), cmd.OutOrStdout()) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.listeners.API, "listen", "127.0.0.1:7440", "address of the AWS API")
	flags.StringVar(&f.listeners.Edges, "edge-listen", "127.0.0.1:7441", "address that edges connect to, with mutual TLS")
	flags.StringVar(&f.listeners.DNS, "dns-listen", "127.0.0.1:7453", "address of the DNS server for load balancer names; empty: none")
	flags.StringVar(&f.listeners.Metrics, "metrics-listen", "127.0.0.1:7450", "address of /metrics, /healthz and /readyz; empty: none")
	flags.BoolVar(&f.http, "http", false, "serve the API over plain HTTP; for loopback addresses only")
	flags.BoolVar(&f.anyHTTP, "insecure-http", false, "serve the API over plain HTTP on any address: requests and answers can be read on the way")
	flags.StringVar(&f.certFile, "tls-cert", "", "certificate of the API in PEM; empty: a self-signed one, api.crt in the state directory")
	flags.StringVar(&f.keyFile, "tls-key", "", "key of --tls-cert in PEM")
	flags.StringSliceVar(&f.tlsHosts, "tls-host", nil, "further host names and addresses for the self-signed certificate")
	flags.StringVar(&f.config.Inventory, "inventory", "", "inventory file: VPCs, subnets, instances, edges; watched (required)")
	flags.StringVar(&f.config.IAM, "iam", "", "IAM file: users, access keys, policies; watched; empty: the root key alone")
	flags.StringVar(&f.config.Region, "region", "us-west-2", "AWS region that the engine answers for")
	flags.StringVar(&f.config.AccountID, "account-id", "000000000000", "AWS account ID that the engine answers for, twelve digits")
	flags.DurationVar(&f.config.DNSTTL, "dns-ttl", 5*time.Second, "how long clients may remember an address; AWS says 60s")
	flags.IntVar(&f.config.Quotas.LoadBalancers, "max-load-balancers", f.config.Quotas.LoadBalancers, "load balancers at most; an AWS account starts with 50")
	flags.IntVar(&f.config.Classic.LoadBalancers, "max-classic-load-balancers", f.config.Classic.LoadBalancers, "Classic Load Balancers at most; an AWS account starts with 20")
	flags.IntVar(&f.config.Quotas.TargetGroups, "max-target-groups", f.config.Quotas.TargetGroups, "target groups at most; an AWS account starts with 3000")
	flags.Int64Var(&f.config.AuditMaxBytes, "audit-max-bytes", engine.DefaultAuditMaxBytes, "size of a file of the audit log, audit.jsonl in the state directory, in bytes")
	flags.IntVar(&f.config.AuditFiles, "audit-files", engine.DefaultAuditFiles, "files of the audit log at most; the oldest goes")
	cli.LogLevel(flags, &f.level)
	f.trouble.register(flags)
	cmd.PersistentFlags().StringVar(&f.config.StateDir, "state-dir", defaultEngineState, "directory of the state, the root key and the edges' authority")
	cmd.AddCommand(newIssueEdgeCommand(&f.config.StateDir), newRevokeEdgeCommand(&f.config.StateDir),
		newBackupCommand(&f.config.StateDir), newTroubleCommand(&f.config.StateDir))
	return cmd
}

var accountPattern = regexp.MustCompile(`^[0-9]{12}$`)

func (f *engineFlags) run(ctx context.Context, out io.Writer) error {
	if err := f.check(); err != nil {
		return err
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	f.config.Logger, f.config.Metrics = cli.Logger(os.Stderr, f.level), registry
	var err error
	if f.listeners.TLS, err = f.tls(); err != nil {
		if f.certFile != "" {
			return &cli.Error{What: engineWhat, Err: err, Hint: "name a certificate and its key in PEM with --tls-cert and --tls-key"}
		}
		return explainEngine(err)
	}
	e, err := engine.Open(f.config)
	if err != nil {
		return explainEngine(err)
	}
	if key, created := e.RootKey(); created {
		fmt.Fprintf(out, "Root key, shown this once and kept in %s:\n  AWS_ACCESS_KEY_ID=%s\n  AWS_SECRET_ACCESS_KEY=%s\n",
			f.config.StateDir, key.AccessKeyID, key.SecretAccessKey)
	}
	err = e.Run(ctx, f.listeners, registry)
	return explainEngine(errors.Join(err, e.Close()))
}

// check reports everything that is wrong with the flags at once.
func (f *engineFlags) check() error {
	var p cli.Problems
	c := &f.config
	p.Required("inventory", c.Inventory)
	p.Unless(regionPattern.MatchString(c.Region), "--region %q: must be a region such as us-west-2", c.Region)
	p.Unless(accountPattern.MatchString(c.AccountID), "--account-id %q: must be twelve digits", c.AccountID)
	p.Unless(c.StateDir != "", "--state-dir is required")
	p.Unless(c.DNSTTL >= 0 && c.DNSTTL <= 24*time.Hour && c.DNSTTL%time.Second == 0, "--dns-ttl %s: must be whole seconds from 0s to 24h", c.DNSTTL)
	for _, most := range []struct {
		flag  string
		value int
	}{
		{"max-load-balancers", c.Quotas.LoadBalancers}, {"max-classic-load-balancers", c.Classic.LoadBalancers},
		{"max-target-groups", c.Quotas.TargetGroups}, {"audit-files", c.AuditFiles},
	} {
		p.Unless(most.value >= 1, "--%s %d: must be at least 1", most.flag, most.value)
	}
	p.Unless(c.AuditMaxBytes >= 1<<10, "--audit-max-bytes %d: must be at least 1024", c.AuditMaxBytes)
	f.checkListeners(&p)
	var err error
	c.Trouble, err = f.trouble.settings()
	p.Add(err)
	return p.Err()
}

func (f *engineFlags) checkListeners(p *cli.Problems) {
	p.HostPort("listen", f.listeners.API)
	p.HostPort("edge-listen", f.listeners.Edges)
	p.Listen("dns-listen", f.listeners.DNS)
	p.Listen("metrics-listen", f.listeners.Metrics)
	p.Unless((f.certFile == "") == (f.keyFile == ""), "--tls-cert and --tls-key belong together")
	p.Unless(f.certFile == "" || !f.plain(), "--tls-cert has no use with --http or --insecure-http")
	host, _, _ := net.SplitHostPort(f.listeners.API)
	p.Unless(!f.http || f.anyHTTP || loopback(host), "--http is for loopback addresses only and --listen is %s; use --insecure-http if everyone on the way may read along", f.listeners.API)
}

// plain says whether the API is served over plain HTTP.
func (f *engineFlags) plain() bool { return f.http || f.anyHTTP }

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// tls is the configuration of the API's endpoint, nil for plain HTTP.
func (f *engineFlags) tls() (*tls.Config, error) {
	switch {
	case f.plain():
		return nil, nil
	case f.certFile != "":
		return engine.ServerTLS(f.certFile, f.keyFile)
	}
	hosts := append([]string{"localhost", "127.0.0.1", "::1"}, f.tlsHosts...)
	if host, _, _ := net.SplitHostPort(f.listeners.API); host != "" && !net.ParseIP(host).IsUnspecified() {
		hosts = append(hosts, host)
	}
	return engine.GeneratedTLS(f.config.StateDir, hosts)
}

// explainEngine adds the next step to errors that have one.
func explainEngine(err error) error {
	failed := &cli.Error{What: engineWhat, Err: err}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, store.ErrLocked):
		failed.Hint = "stop the other engine on this state directory, or name another with --state-dir"
	case errors.Is(err, store.ErrNewer):
		failed.Hint = "run the version of fairlead that wrote the file, or a later one"
	case errors.Is(err, store.ErrCorrupt):
		failed.Hint = "restore the file from a backup; edges go on with what they know meanwhile"
	case errors.Is(err, syscall.EADDRINUSE):
		failed.Hint = "stop what listens there, or name another address with --listen, --edge-listen, --dns-listen or --metrics-listen"
	case errors.Is(err, sealed.ErrUnreadable):
		failed.Hint = "restore the data-key.json that the state was written with; secrets in the state cannot be read without it"
	case errors.Is(err, os.ErrNotExist):
		failed.Hint = "name files and directories that there are, with --inventory, --iam and --state-dir"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		failed.Hint = "listen on addresses of this machine: 'ip address' lists them"
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EROFS), errors.Is(err, syscall.ENOTDIR):
		failed.Hint = "make room for the state, or name another directory with --state-dir"
	case errors.Is(err, os.ErrPermission):
		failed.Hint = "run it as a user who may do that: the files are the state directory's owner's, ports below 1024 take CAP_NET_BIND_SERVICE"
	}
	return failed
}
