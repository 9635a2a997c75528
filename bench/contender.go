package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/fairlead-lb/fairlead/test/peers/cpa"
)

// contender is a controller in a world of its own.
type contender struct {
	name    string
	world   *world
	launch  func(context.Context, *world) (running, error)
	process running
}

// running is a process of a contender.
type running interface {
	PID() int
	Stop()
}

func (c *contender) start(ctx context.Context) (err error) {
	c.process, err = c.launch(ctx, c.world)
	return err
}

// ours is `fairlead controller` as it is shipped, but for the lease: there is
// one of it, and waiting for a lease is none of the work. It runs without a
// budget of calls: the endpoint is one's own.
func ours(program string, further ...string) func(context.Context, *world) (running, error) {
	return func(ctx context.Context, w *world) (running, error) {
		log, err := os.OpenFile(filepath.Join(w.dir, "controller.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, err
		}
		defer log.Close() // the process has its own
		cmd := exec.CommandContext(ctx, program, "controller", "--kubeconfig="+w.kubeconfig, "--cluster-name="+clusterName, "--region="+region,
			"--vpc-id="+vpcID, "--take-unclassed", "--leader-elect=false", "--aws-request-rate=0", "--metrics-listen=0", "--health-listen=0")
		cmd.Args = append(cmd.Args, further...)
		cmd.Env = append(os.Environ(), "AWS_ENDPOINT_URL="+w.aws.URL, "AWS_REGION="+region, "AWS_EC2_METADATA_DISABLED=true",
			"AWS_ACCESS_KEY_ID="+w.key.AccessKeyID, "AWS_SECRET_ACCESS_KEY="+w.key.SecretAccessKey)
		cmd.Stdout, cmd.Stderr = log, log
		cmd.SysProcAttr = diesWithParent()
		return command{cmd}, cmd.Start()
	}
}

// command is a process that ends when it is told to.
type command struct{ *exec.Cmd }

func (c command) PID() int { return c.Process.Pid }

func (c command) Stop() {
	_ = c.Process.Signal(syscall.SIGTERM) // it may have ended by itself
	_ = c.Wait()                          // how it ended is in its log
}

// theirs is cloud-provider-aws with its defaults: one Service at a time.
func theirs(binary string) func(context.Context, *world) (running, error) {
	return func(ctx context.Context, w *world) (running, error) {
		log, err := os.OpenFile(filepath.Join(w.dir, "cpa.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, err
		}
		defer log.Close()
		return cpa.Start(ctx, cpa.Config{
			Binary: binary, Dir: w.dir, Kubeconfig: w.kubeconfig, Cluster: clusterName, Endpoint: w.aws.URL,
			Region: region, Zone: zones[0], VPCID: vpcID, SubnetID: subnetID(0),
			KeyID: w.key.AccessKeyID, Secret: w.key.SecretAccessKey, Syncs: 1, Log: log,
		})
	}
}

// buildPeer builds a peer or finds it in the cache.
func buildPeer(ctx context.Context, script, name string) (string, error) {
	cmd := exec.CommandContext(ctx, script, name)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("build %s: %w", name, err)
	}
	return strings.TrimSpace(out.String()), nil
}
