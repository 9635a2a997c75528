package nodeagent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
)

// The kubelet's periods: the node controller takes a node for lost when its
// lease was not renewed for 40 s.
const (
	leaseDuration = 40 * time.Second
	leasePeriod   = leaseDuration / 4
	statusPeriod  = 5 * time.Minute
	maxPods       = 110
)

// kubeletVersion is what the node reports: the kubelet API level that the agent
// offers.
const kubeletVersion = "v1.36.0-fairlead-lab"

// nodeObject returns the Node as the agent wants it.
func nodeObject(cfg Config, allocatable corev1.ResourceList, now time.Time) *corev1.Node {
	n := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name: cfg.NodeName,
			Labels: map[string]string{
				corev1.LabelHostname:       cfg.NodeName,
				corev1.LabelTopologyZone:   cfg.Zone,
				corev1.LabelTopologyRegion: cfg.Region,
				corev1.LabelOSStable:       runtime.GOOS,
				corev1.LabelArchStable:     runtime.GOARCH,
			},
		},
		Spec: corev1.NodeSpec{ProviderID: cfg.ProviderID},
	}
	for _, p := range cfg.PodCIDRs {
		n.Spec.PodCIDRs = append(n.Spec.PodCIDRs, p.String())
	}
	n.Spec.PodCIDR = n.Spec.PodCIDRs[0]
	n.Status = nodeStatus(cfg, allocatable, now)
	return n
}

func nodeStatus(cfg Config, allocatable corev1.ResourceList, now time.Time) corev1.NodeStatus {
	s := corev1.NodeStatus{
		Capacity:        allocatable,
		Allocatable:     allocatable,
		DaemonEndpoints: corev1.NodeDaemonEndpoints{KubeletEndpoint: corev1.DaemonEndpoint{Port: int32(cfg.KubeletListen.Port())}},
		NodeInfo: corev1.NodeSystemInfo{
			OperatingSystem: runtime.GOOS, Architecture: runtime.GOARCH,
			KubeletVersion: kubeletVersion, ContainerRuntimeVersion: "fairlead-lab://1", OSImage: "fairlead-lab",
			KernelVersion: kernelVersion(),
		},
	}
	for _, ip := range cfg.NodeIPs {
		s.Addresses = append(s.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: ip.String()})
	}
	s.Addresses = append(s.Addresses, corev1.NodeAddress{Type: corev1.NodeHostName, Address: cfg.NodeName})
	for _, c := range []struct {
		kind            corev1.NodeConditionType
		status          corev1.ConditionStatus
		reason, message string
	}{
		{corev1.NodeMemoryPressure, corev1.ConditionFalse, "KubeletHasSufficientMemory", "node agent does not measure pressure"},
		{corev1.NodeDiskPressure, corev1.ConditionFalse, "KubeletHasNoDiskPressure", "node agent does not measure pressure"},
		{corev1.NodePIDPressure, corev1.ConditionFalse, "KubeletHasSufficientPID", "node agent does not measure pressure"},
		{corev1.NodeReady, corev1.ConditionTrue, "KubeletReady", "node agent runs pods and serves the kubelet API"},
	} {
		s.Conditions = append(s.Conditions, corev1.NodeCondition{
			Type: c.kind, Status: c.status, Reason: c.reason, Message: c.message,
			LastHeartbeatTime: metav1.NewTime(now), LastTransitionTime: metav1.NewTime(now),
		})
	}
	return s
}

func kernelVersion() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}

// machineResources is what the node offers: all of the machine, which it shares
// with the lab's other nodes.
func machineResources(dir string) (corev1.ResourceList, error) {
	memory, err := totalMemory()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return nil, err
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return nil, fmt.Errorf("size of %s: %w", dir, err)
	}
	return corev1.ResourceList{
		corev1.ResourceCPU:              *resource.NewQuantity(int64(runtime.NumCPU()), resource.DecimalSI),
		corev1.ResourceMemory:           *resource.NewQuantity(memory, resource.BinarySI),
		corev1.ResourceEphemeralStorage: *resource.NewQuantity(int64(fs.Blocks)*fs.Bsize, resource.BinarySI),
		corev1.ResourcePods:             *resource.NewQuantity(maxPods, resource.DecimalSI),
	}, nil
}

func totalMemory() (int64, error) {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return 0, fmt.Errorf("size of memory: %w", err)
	}
	return int64(info.Totalram) * int64(info.Unit), nil
}

// register creates the Node or brings one that is there up to date. It tries
// until ctx ends: the API server may start later than the node.
func (a *agent) register(ctx context.Context) (*corev1.Node, error) {
	var node *corev1.Node
	var last error
	err := wait.PollUntilContextCancel(ctx, 500*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		node, last = a.tryRegister(ctx)
		if last != nil {
			a.log.Info("node not registered yet", "error", last)
		}
		if apierrors.IsInvalid(last) {
			return false, last // what the API server will not have, it will not have later either
		}
		return last == nil, nil
	})
	if err != nil {
		return nil, fmt.Errorf("register node %s: %w", a.cfg.NodeName, errors.Join(err, last))
	}
	return node, nil
}

func (a *agent) tryRegister(ctx context.Context) (*corev1.Node, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	want := nodeObject(a.cfg, a.allocatable, time.Now())
	node, err := a.client.CoreV1().Nodes().Create(ctx, want, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		node, err = a.patchNode(ctx, want)
	}
	if err != nil {
		return nil, err
	}
	return node, a.patchNodeStatus(ctx, want.Status)
}

// patchNode sets the labels and the fields of the spec that may be set once.
func (a *agent) patchNode(ctx context.Context, want *corev1.Node) (*corev1.Node, error) {
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"labels": want.Labels},
		"spec":     map[string]any{"providerID": want.Spec.ProviderID, "podCIDR": want.Spec.PodCIDR, "podCIDRs": want.Spec.PodCIDRs},
	})
	if err != nil {
		return nil, err
	}
	return a.client.CoreV1().Nodes().Patch(ctx, want.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
}

// patchNodeStatus replaces the parts of the status that are the node's. It is a
// JSON merge patch, where lists are replaced whole: the strategic one takes two
// addresses of one type for the same.
func (a *agent) patchNodeStatus(ctx context.Context, want corev1.NodeStatus) error {
	have, err := a.client.CoreV1().Nodes().Get(ctx, a.cfg.NodeName, metav1.GetOptions{})
	if err != nil {
		return err
	}
	want.Conditions = mergeConditions(have.Status.Conditions, want.Conditions)
	patch, err := json.Marshal(map[string]any{"status": want})
	if err != nil {
		return err
	}
	_, err = a.client.CoreV1().Nodes().Patch(ctx, a.cfg.NodeName, types.MergePatchType, patch, metav1.PatchOptions{}, "status")
	return err
}

// mergeConditions keeps others' conditions, and the transition times of those
// whose status has not changed.
func mergeConditions(have, own []corev1.NodeCondition) []corev1.NodeCondition {
	out := slices.Clone(own)
	for _, old := range have {
		i := slices.IndexFunc(out, func(c corev1.NodeCondition) bool { return c.Type == old.Type })
		switch {
		case i < 0:
			out = append(out, old)
		case out[i].Status == old.Status:
			out[i].LastTransitionTime = old.LastTransitionTime
		}
	}
	return out
}

// heartbeat reports the node's status from time to time. A node that was
// deleted stays away until its agent starts again, as with a kubelet.
func (a *agent) heartbeat(ctx context.Context) {
	every(ctx, statusPeriod, func(ctx context.Context) {
		if err := a.patchNodeStatus(ctx, nodeStatus(a.cfg, a.allocatable, time.Now())); err != nil {
			a.log.Warn("node status not written", "error", err)
		}
	})
}

// every calls f at once and then once a period until ctx ends.
func every(ctx context.Context, period time.Duration, f func(context.Context)) {
	t := time.NewTicker(period)
	defer t.Stop()
	for {
		bounded, cancel := context.WithTimeout(ctx, requestTimeout)
		f(bounded)
		cancel()
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}

func (a *agent) renewLease(ctx context.Context, node *corev1.Node) {
	every(ctx, leasePeriod, func(ctx context.Context) {
		if err := a.writeLease(ctx, node); err != nil {
			a.log.Warn("node lease not renewed", "error", err)
		}
	})
}

func (a *agent) writeLease(ctx context.Context, node *corev1.Node) error {
	leases := a.client.CoordinationV1().Leases(corev1.NamespaceNodeLease)
	lease, err := leases.Get(ctx, node.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		// A deleted node's lease is collected; a new one would be again.
		if _, err := a.client.CoreV1().Nodes().Get(ctx, node.Name, metav1.GetOptions{}); err != nil {
			return fmt.Errorf("look for node %s: %w", node.Name, err)
		}
		_, err = leases.Create(ctx, leaseOf(node, &coordinationv1.Lease{}, time.Now()), metav1.CreateOptions{})
		return err
	}
	if err != nil {
		return err
	}
	_, err = leases.Update(ctx, leaseOf(node, lease, time.Now()), metav1.UpdateOptions{})
	return err
}

func leaseOf(node *corev1.Node, have *coordinationv1.Lease, now time.Time) *coordinationv1.Lease {
	lease := have.DeepCopy()
	lease.Name, lease.Namespace = node.Name, corev1.NamespaceNodeLease
	lease.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: node.Name, UID: node.UID}}
	seconds, renewed := int32(leaseDuration/time.Second), metav1.NewMicroTime(now)
	if lease.Spec.AcquireTime == nil {
		lease.Spec.AcquireTime = &renewed
	}
	lease.Spec.HolderIdentity, lease.Spec.LeaseDurationSeconds, lease.Spec.RenewTime = &node.Name, &seconds, &renewed
	return lease
}
