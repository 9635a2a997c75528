// Package kubetest runs a real kube-apiserver and etcd for tests, on loopback
// ports and in a directory of their own. Nothing else of a cluster runs: tests
// are the nodes, the endpoint slices and the users.
package kubetest

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"k8s.io/client-go/rest"

	"github.com/fairlead-lb/fairlead/internal/netlab"
)

const token = "kubetest"

// Cluster is a running API server.
type Cluster struct {
	Config *rest.Config // of an administrator

	dir   string
	procs []*exec.Cmd
}

// Start runs etcd and kube-apiserver until Stop, the latter with further flags.
// It builds their binary when it is not cached, which takes minutes.
func Start(ctx context.Context, flags ...string) (*Cluster, error) {
	binary, err := build(ctx)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "kubetest-")
	if err != nil {
		return nil, err
	}
	c := &Cluster{dir: dir}
	if err := c.start(ctx, binary, flags); err != nil {
		return nil, errors.Join(fmt.Errorf("start an API server: %w\n%s", err, c.logs()), c.Stop())
	}
	return c, nil
}

// Main runs the tests of a package, a *testing.M, with a cluster that they
// share, and returns their exit code.
//
// Tests read right after they have written. From a watch cache such a list comes
// when etcd has next said how far it is, 100 ms later; from etcd it comes at once.
func Main(tests interface{ Run() int }, shared **Cluster) int {
	c, err := Start(context.Background(), "--watch-cache=false")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	*shared = c
	code := tests.Run()
	if err := c.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

func build(ctx context.Context) (string, error) {
	_, here, _, _ := runtime.Caller(0)
	script := filepath.Join(filepath.Dir(here), "..", "..", "kube", "build.sh")
	cmd := exec.CommandContext(ctx, "bash", script)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("build kube: %w\n%s", err, stderr.String())
	}
	return strings.TrimSpace(string(out)), nil
}

func (c *Cluster) start(ctx context.Context, binary string, flags []string) error {
	addresses, err := netlab.FreeAddresses(3)
	if err != nil {
		return err
	}
	etcd, peer, api := "http://"+addresses[0].String(), "http://"+addresses[1].String(), addresses[2]
	if err := c.prepare(); err != nil {
		return err
	}
	if err := c.run(binary, "etcd",
		"--data-dir", c.path("etcd"), "--unsafe-no-fsync", "--log-level", "warn",
		"--listen-client-urls", etcd, "--advertise-client-urls", etcd,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "default="+peer,
	); err != nil {
		return err
	}
	flags = append([]string{
		"--etcd-servers", etcd, "--bind-address", api.Addr().String(), "--advertise-address", api.Addr().String(), "--secure-port", strconv.Itoa(int(api.Port())), "--cert-dir", c.path("certs"),
		"--service-cluster-ip-range", "198.19.0.0/16,2001:db8:ffff::/112", "--token-auth-file", c.path("tokens"), "--authorization-mode", "RBAC",
		"--service-account-key-file", c.path("sa.key"), "--service-account-signing-key-file", c.path("sa.key"), "--service-account-issuer", "https://kubetest",
		"--disable-admission-plugins", "ServiceAccount", "--endpoint-reconciler-type", "none",
	}, flags...)
	if err := c.run(binary, "kube-apiserver", flags...); err != nil {
		return err
	}
	c.Config = &rest.Config{Host: "https://" + api.String(), BearerToken: token, TLSClientConfig: rest.TLSClientConfig{Insecure: true}, QPS: 500, Burst: 1000}
	return c.wait(ctx)
}

func (c *Cluster) prepare() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	pemKey := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
	if err := os.WriteFile(c.path("sa.key"), pemKey, 0o600); err != nil {
		return err
	}
	return os.WriteFile(c.path("tokens"), []byte(token+`,admin,admin,"system:masters"`+"\n"), 0o600)
}

func (c *Cluster) path(name string) string { return filepath.Join(c.dir, name) }

// run starts a component. It dies with this process, however that ends.
func (c *Cluster) run(binary, component string, args ...string) error {
	log, err := os.Create(c.path(component + ".log"))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(binary, append([]string{component}, args...)...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return err
	}
	c.procs = append(c.procs, cmd)
	return nil
}

func (c *Cluster) wait(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	client, err := rest.HTTPClientFor(c.Config)
	if err != nil {
		return err
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.Config.Host+"/readyz", nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for /readyz: %w", ctx.Err())
		}
	}
}

// logs are the last lines of each component.
func (c *Cluster) logs() string {
	var b strings.Builder
	for _, component := range []string{"etcd", "kube-apiserver"} {
		text, err := os.ReadFile(c.path(component + ".log"))
		if err != nil {
			continue
		}
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		fmt.Fprintf(&b, "--- %s\n%s\n", component, strings.Join(lines[max(0, len(lines)-10):], "\n"))
	}
	return b.String()
}

// Stop ends the processes and removes their directory.
func (c *Cluster) Stop() error {
	for _, p := range c.procs {
		_ = p.Process.Kill() // it may have ended by itself
		_ = p.Wait()         // killed: always an error
	}
	return os.RemoveAll(c.dir)
}
