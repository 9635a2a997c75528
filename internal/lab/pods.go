package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/fairlead-lb/fairlead/internal/lab/component"
	"github.com/fairlead-lb/fairlead/internal/lab/layout"
	"github.com/fairlead-lb/fairlead/internal/lab/nodeagent"
	"github.com/fairlead-lb/fairlead/internal/lab/nodeagent/podplan"
	"github.com/fairlead-lb/fairlead/internal/netlab"
)

// podNamespacePrefix begins the names of pods' network namespaces, whatever the
// prefix of the lab.
const podNamespacePrefix = "fl-pod-"

// ownNamespaces lists all network namespaces of the lab in a state directory:
// those with its prefix, and those of the pods that its node agents know. An
// agent keeps a directory per pod for as long as there is anything of the pod.
func ownNamespaces(dir component.Dir, prefix string) ([]string, error) {
	names, err := prefixed(prefix)
	if err != nil {
		return nil, err
	}
	agents, err := filepath.Glob(dir.NodeAgent("*"))
	if err != nil {
		return nil, fmt.Errorf("list node agents: %w", err)
	}
	for _, agent := range agents {
		pods, err := podNamespaces(agent)
		if err != nil {
			return nil, err
		}
		names = append(names, pods...)
	}
	return names, nil
}

// podNamespaces lists the network namespaces of the pods that an agent knows.
func podNamespaces(agentDir string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(agentDir, "pods"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list pods: %w", err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, nodeagent.NetNS(types.UID(e.Name())))
	}
	return names, nil
}

// prefixed lists the named namespaces that begin with a prefix, without pods':
// theirs begin alike in all labs.
func prefixed(prefix string) ([]string, error) {
	names, err := netlab.Names()
	return slices.DeleteFunc(names, func(name string) bool {
		return !strings.HasPrefix(name, prefix) || strings.HasPrefix(name, podNamespacePrefix)
	}), err
}

// enterPod becomes a command in a pod's network namespace with the pod's name
// servers; programs and other files are the machine's.
func (l *Lab) enterPod(ctx context.Context, namespace, name string, argv []string) error {
	pod, err := l.pod(ctx, namespace, name)
	if err != nil {
		return err
	}
	resolv, err := l.podResolver(pod)
	if err != nil {
		return err
	}
	ns := nodeagent.NetNS(pod.UID)
	if pod.Spec.HostNetwork {
		ns = l.layout.Prefix + pod.Spec.NodeName
	}
	binds, err := l.resolverFiles(resolv)
	if err != nil {
		return err
	}
	runtime.LockOSThread()
	if err := netlab.Enter(ns, binds); err != nil {
		return fmt.Errorf("enter pod %s/%s: %w", namespace, name, err)
	}
	return replace(argv, os.Environ())
}

func (l *Lab) pod(ctx context.Context, namespace, name string) (*corev1.Pod, error) {
	cfg, err := clientcmd.BuildConfigFromFlags("", l.Kubeconfig())
	if err != nil {
		return nil, err
	}
	api, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	pod, err := api.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("find pod %s/%s: %w", namespace, name, err)
	}
	if pod.Status.Phase != corev1.PodRunning {
		return nil, fmt.Errorf("enter pod %s/%s: it is %s", namespace, name, pod.Status.Phase)
	}
	return pod, nil
}

// podResolver writes the pod's resolv.conf where it can be mounted from.
func (l *Lab) podResolver(pod *corev1.Pod) (string, error) {
	content := podplan.ResolvConf(pod, podplan.Sources{
		NodeName: pod.Spec.NodeName, ClusterDomain: component.Domain, ClusterDNS: layout.DNS(),
	})
	path := filepath.Join(l.dir.Resolv(), "pod-"+string(pod.UID))
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		return "", fmt.Errorf("write the pod's resolver: %w", err)
	}
	return path, nil
}
