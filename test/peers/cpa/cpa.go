// Package cpa runs cloud-provider-aws, unmodified and out of cluster, as a peer
// of the controller: its service controller alone, against any API server and
// any AWS endpoint.
package cpa

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"text/template"
	"time"
)

// Version is what peers/go.mod pins.
const Version = "v1.37.0"

// Name is the binary's, and that of its package.
const Name = "aws-cloud-controller-manager"

// Config says what the peer works on. All fields are required.
type Config struct {
	Binary     string
	Dir        string // for its configuration; exists
	Kubeconfig string
	Cluster    string
	Endpoint   string // of every AWS service
	Region     string
	Zone       string
	VPCID      string
	SubnetID   string // any of the VPC: with it the peer does not ask who it is
	KeyID      string
	Secret     string
	Syncs      int // Services worked on at the same time; its own default is 1
	Log        io.Writer
}

// cloudConfig points every service that the peer calls at one endpoint. Services
// are named by their SDK's service ID.
var cloudConfig = template.Must(template.New("cloud.conf").Parse(`[Global]
Region = {{.Region}}
Zone = {{.Zone}}
VPC = {{.VPCID}}
SubnetID = {{.SubnetID}}
KubernetesClusterID = {{.Cluster}}
{{range $i, $service := .Services}}
[ServiceOverride "{{$i}}"]
Service = {{$service}}
Region = {{$.Region}}
URL = {{$.Endpoint}}
SigningRegion = {{$.Region}}
SigningName = {{index $.SigningNames $i}}
{{end}}`))

func (c Config) cloudConfig() []byte {
	var b bytes.Buffer
	err := cloudConfig.Execute(&b, struct {
		Config
		Services, SigningNames []string
	}{c, []string{"EC2", "Elastic Load Balancing", "Elastic Load Balancing v2"}, []string{"ec2", "elasticloadbalancing", "elasticloadbalancing"}})
	if err != nil {
		panic(err) // the template and its data are both above
	}
	return b.Bytes()
}

// Process is a running peer.
type Process struct {
	cmd  *exec.Cmd
	done chan error
}

// Start runs the peer until Stop. It dies with this process, however that ends.
func Start(ctx context.Context, c Config) (*Process, error) {
	file := filepath.Join(c.Dir, "cloud.conf")
	if err := os.WriteFile(file, c.cloudConfig(), 0o600); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, c.Binary,
		"--cloud-provider=aws", "--cloud-config="+file, "--kubeconfig="+c.Kubeconfig, "--cluster-name="+c.Cluster,
		"--authentication-kubeconfig="+c.Kubeconfig, "--authorization-kubeconfig="+c.Kubeconfig, "--authentication-skip-lookup",
		"--controllers=service-lb-controller", "--configure-cloud-routes=false", "--allocate-node-cidrs=false",
		"--leader-elect=false", "--use-service-account-credentials=false", "--secure-port=0",
		fmt.Sprintf("--concurrent-service-syncs=%d", c.Syncs),
	)
	cmd.Env = append(withoutAWS(os.Environ()), "AWS_ACCESS_KEY_ID="+c.KeyID, "AWS_SECRET_ACCESS_KEY="+c.Secret,
		"AWS_REGION="+c.Region, "AWS_EC2_METADATA_DISABLED=true")
	cmd.Stdout, cmd.Stderr = c.Log, c.Log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start cloud-provider-aws: %w", err)
	}
	p := &Process{cmd: cmd, done: make(chan error, 1)}
	go func() { p.done <- cmd.Wait() }()
	return p, nil
}

// withoutAWS drops what would lead the peer elsewhere.
func withoutAWS(env []string) []string {
	var kept []string
	for _, v := range env {
		if !strings.HasPrefix(v, "AWS_") {
			kept = append(kept, v)
		}
	}
	return kept
}

// PID is the peer's process ID.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Ended says whether the peer has ended by itself, which it should not.
func (p *Process) Ended() error {
	select {
	case err := <-p.done:
		p.done <- err
		return fmt.Errorf("cloud-provider-aws has ended: %w", errors.Join(err, errEnded))
	default:
		return nil
	}
}

var errEnded = errors.New("it should run until it is told to stop")

// stopGrace is how long the peer may take to end.
const stopGrace = 10 * time.Second

// Stop ends the peer.
func (p *Process) Stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself
	select {
	case <-p.done: //nolint:errcheck // how it ends when told to does not matter
	case <-time.After(stopGrace):
		_ = p.cmd.Process.Kill()
		<-p.done //nolint:errcheck // as above
	}
}
