package main

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"

	"github.com/fairlead-lb/fairlead/internal/cli"
	"github.com/fairlead-lb/fairlead/internal/proxy"
	"github.com/fairlead-lb/fairlead/internal/proxy/accesslog"
	"github.com/fairlead-lb/fairlead/internal/proxy/httplb"
)

// socketFlags are the flags of fairlead edge about listeners in user space.
type socketFlags struct {
	accessLogDir, accessLogS3 string
	drain                     time.Duration
}

func (f *socketFlags) register(flags *pflag.FlagSet) {
	flags.StringVar(&f.accessLogDir, "access-log-dir", "", "directory to deliver access logs of Classic Load Balancers to, below it BUCKET/KEY; empty: none are kept unless --access-log-s3 is set")
	flags.StringVar(&f.accessLogS3, "access-log-s3", "", "URL of an S3 service to deliver access logs to instead, with AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN")
	flags.DurationVar(&f.drain, "drain-timeout", 0, "how long connections of listeners in user space may finish when the edge ends")
}

func (f *socketFlags) validate() error {
	if f.accessLogDir != "" && f.accessLogS3 != "" {
		return cli.Usagef("--access-log-dir and --access-log-s3 exclude each other")
	}
	return nil
}

// keepsLogs says whether access logs go anywhere.
func (f *socketFlags) keepsLogs() bool { return f.accessLogDir != "" || f.accessLogS3 != "" }

// sockets are the parts that serve listeners in user space.
type sockets struct {
	server *proxy.Server
	http   *httplb.Handler
	spool  *accesslog.Spool // nil: no access logs
}

// openSockets makes them ready. Access logs wait for their delivery in the
// edge's state directory.
func openSockets(f edgeFlags, log *slog.Logger, metrics prometheus.Registerer) (*sockets, error) {
	s, err := &sockets{}, error(nil)
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
	s.server, err = proxy.New(proxy.Options{Log: log, Metrics: metrics, HTTP: s.http, AccessLog: s.spool, DrainTimeout: f.sockets.drain})
	return s, err
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

// while runs what logs while serve serves: whoever writes a line as the last
// connections end still finds someone to take it.
func (s *sockets) while(serve func() error) error {
	defer s.http.Close()
	if s.spool == nil {
		return serve()
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); s.spool.Run(ctx) }()
	defer func() { cancel(); <-done }()
	return serve()
}
