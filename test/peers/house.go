package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fairlead-lb/fairlead/internal/lab"
	"github.com/fairlead-lb/fairlead/internal/lab/component"
	"github.com/fairlead-lb/fairlead/test/peers/cpa"
)

// patience is for what must come about; nothing here is a measurement. The peer
// retries after 5 s, 10 s and so on.
const patience = 90 * time.Second

// house is a lab in which a peer works as the controller.
type house struct {
	*lab.Lab
	peer *cpa.Process
	log  string // the peer's
}

func raise(ctx context.Context, binary, bin string) (*house, error) {
	dir, err := os.MkdirTemp("", "peers-")
	if err != nil {
		return nil, err
	}
	o, err := lab.Beside("peer", dir, bin)
	if err != nil {
		return nil, err
	}
	o.Without, o.Progress = []string{component.Controller}, os.Stderr
	l, err := lab.Up(ctx, o)
	if err != nil {
		return nil, err
	}
	h := &house{Lab: l, log: filepath.Join(dir, "cpa.log")}
	if err := h.startPeer(ctx, binary, dir); err != nil {
		return nil, errors.Join(err, lab.Down(context.WithoutCancel(ctx), o.StateDir, io.Discard))
	}
	return h, nil
}

func (h *house) startPeer(ctx context.Context, binary, dir string) error {
	log, err := os.Create(h.log)
	if err != nil {
		return err
	}
	defer log.Close() // the peer has its own
	layout, key := h.Layout(), h.Credentials()
	h.peer, err = cpa.Start(ctx, cpa.Config{
		Binary: binary, Dir: dir, Kubeconfig: h.Kubeconfig(), Cluster: "fairlead", Endpoint: h.EngineURL(),
		Region: layout.Region, Zone: layout.Zones[0].Name, VPCID: layout.VPCID, SubnetID: layout.Zones[0].SubnetID,
		KeyID: key.AccessKeyID, Secret: key.SecretAccessKey, Syncs: 1, Log: log,
	})
	return err
}

// raze takes everything away.
func (h *house) raze() error {
	h.peer.Stop()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	return errors.Join(lab.Down(ctx, h.StateDir(), os.Stderr), os.RemoveAll(filepath.Dir(h.StateDir())))
}

// showLogs prints the ends of the logs that explain most failures.
func (h *house) showLogs() {
	paths := []string{h.log}
	for _, name := range []string{"engine", "edge-us-west-2a", "edge-us-west-2b"} {
		if path, err := h.Logs(name); err == nil {
			paths = append(paths, path)
		}
	}
	for _, path := range paths {
		data, _ := os.ReadFile(path) // without it there is nothing to show
		lines := strings.Split(strings.TrimSpace(string(data)), "\n")
		fmt.Fprintf(os.Stderr, "\nthe end of %s:\n%s\n", path, strings.Join(lines[max(0, len(lines)-25):], "\n"))
	}
}

// run runs a command with the lab's environment.
func (h *house) run(ctx context.Context, argv ...string) (string, error) {
	return h.input(ctx, "", argv...)
}

func (h *house) input(ctx context.Context, input string, argv ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return h.Output(ctx, input, argv...)
}

// until asks until all is well, and fails with what was wrong last.
func (h *house) until(ctx context.Context, look func() error) error {
	deadline := time.Now().Add(patience)
	for {
		err := look()
		if err == nil {
			return nil
		}
		if ended := h.peer.Ended(); ended != nil {
			return ended
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not so within %v: %w", patience, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(300 * time.Millisecond):
		}
	}
}

// answer is what the lab's web server says of a request.
type answer struct {
	Node string         `json:"node"`
	Peer netip.AddrPort `json:"peer"`
}

// get asks a load balancer from outside the VPC.
func (h *house) get(ctx context.Context, host string, port int) (answer, error) {
	out, err := h.run(ctx, "fairlead-lab", "exec", "client", "--", "curl", "-sS", "--max-time", "2", fmt.Sprintf("http://%s:%d/?format=json", host, port))
	if err != nil {
		return answer{}, err
	}
	var a answer
	if err := json.Unmarshal([]byte(out), &a); err != nil {
		return a, fmt.Errorf("answer %q: %w", out, err)
	}
	return a, nil
}

// serves succeeds when every one of some requests in a row is answered.
func (h *house) serves(ctx context.Context, host string, port int) error {
	for range 4 {
		if _, err := h.get(ctx, host, port); err != nil {
			return err
		}
	}
	return nil
}
