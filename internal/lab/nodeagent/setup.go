package nodeagent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-lb/fairlead/internal/lab/nodeagent/podplan"
	"github.com/fairlead-lb/fairlead/internal/lab/nodeagent/sandbox"
	"github.com/fairlead-lb/fairlead/internal/netlab"
)

// shortID is the part of a pod's UID that names its namespace and link.
func shortID(uid types.UID) string {
	id := strings.ReplaceAll(string(uid), "-", "")
	return id[:min(len(id), 8)]
}

// NetNS names the network namespace of a pod. It is how other parts of the lab find
// it.
func NetNS(uid types.UID) string        { return "fl-pod-" + shortID(uid) }
func hostLinkName(uid types.UID) string { return "flp" + shortID(uid) }

func (w *worker) network() sandbox.Network {
	return sandbox.Network{
		NetNS: NetNS(w.pod.UID), HostLink: hostLinkName(w.pod.UID), Addrs: w.addrs,
		Uplink: w.a.cfg.Uplink, NodeIPs: w.a.cfg.NodeIPs,
	}
}

// netNS is empty for pods that share the node's network. It may be called by any
// goroutine.
func (w *worker) netNS() string {
	if w.subject.Spec.HostNetwork {
		return ""
	}
	return NetNS(w.subject.UID)
}

// setUp makes the pod's directory, network and volumes, or notes why it cannot
// and when to try again.
func (w *worker) setUp(ctx context.Context) {
	reason, err := w.trySetUp(ctx)
	if err == nil {
		w.state.Sandbox, w.blocked, w.retryDelay = true, nil, 0
		return
	}
	if ctx.Err() != nil {
		return
	}
	w.removeSandbox()
	w.blocked = err
	w.retryDelay = min(max(2*w.retryDelay, time.Second), 30*time.Second)
	w.retryAt = time.Now().Add(w.retryDelay)
	w.event(corev1.EventTypeWarning, reason, "%v", err)
	w.log.Warn("pod's sandbox not made", "reason", reason, "error", err)
}

func (w *worker) trySetUp(ctx context.Context) (reason string, err error) {
	if err := podplan.Refuse(w.pod); err != nil {
		return "FailedCreatePodSandBox", err
	}
	if err := os.MkdirAll(w.rootDir(), 0o711); err != nil {
		return "FailedCreatePodSandBox", err
	}
	if w.src, err = w.fetchSources(ctx); err != nil {
		return "FailedMount", err
	}
	volumes, err := podplan.Volumes(w.pod, w.src)
	if err != nil {
		return "FailedMount", err
	}
	for _, v := range volumes {
		if err := writeVolume(w.volumeDir(v.Name), v); err != nil {
			return "FailedMount", fmt.Errorf("volume %s: %w", v.Name, err)
		}
	}
	if err := w.setUpNetwork(); err != nil {
		return "FailedCreatePodSandBox", err
	}
	w.src.PodIPs = w.podIPs()
	w.scheduleRefresh()
	return "", nil
}

func (w *worker) setUpNetwork() error {
	if w.pod.Spec.HostNetwork {
		return nil
	}
	addrs, err := w.a.takeAddresses()
	if err != nil {
		return err
	}
	w.addrs, w.owns = addrs, true
	return w.network().Create()
}

// rootDir is where containers assemble their roots, each in a mount namespace of
// its own; on the machine it stays empty.
func (w *worker) rootDir() string              { return filepath.Join(w.dir, "root") }
func (w *worker) volumeDir(name string) string { return filepath.Join(w.dir, "volumes", name) }
func (w *worker) logPath(c string, n int) string {
	return filepath.Join(w.dir, "logs", c, fmt.Sprintf("%d.log", n))
}

// tearDown removes the pod's network; its volumes and logs stay until the pod is
// deleted.
func (w *worker) tearDown() {
	w.removeSandbox()
	w.refreshAt = time.Time{}
}

func (w *worker) removeSandbox() {
	w.state.Sandbox = false
	if !w.owns {
		return
	}
	if err := w.network().Delete(); err != nil {
		w.log.Error("pod's network not removed", "error", err)
		return // its addresses stay taken
	}
	w.a.giveAddresses(w.addrs)
	w.owns = false
}

// Clean removes what agents with this state directory left on the machine: the
// namespaces of their pods, with the links in them, and the pods' directories.
// Processes and mounts are none: they end with their agent. The agent must not
// run.
func Clean(stateDir string) error {
	pods := filepath.Join(stateDir, "pods")
	entries, err := os.ReadDir(pods)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		if err := netlab.Delete(NetNS(types.UID(e.Name()))); err != nil {
			errs = append(errs, err) // the directory stays, so that a next attempt finds it
			continue
		}
		errs = append(errs, os.RemoveAll(filepath.Join(pods, e.Name())))
	}
	return errors.Join(errs...)
}
