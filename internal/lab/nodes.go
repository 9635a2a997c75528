package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/fairlead-lb/fairlead/internal/lab/component"
	"github.com/fairlead-lb/fairlead/internal/lab/layout"
	"github.com/fairlead-lb/fairlead/internal/lab/supervisor"
	"github.com/fairlead-lb/fairlead/internal/netlab"
)

// nodeTimeout is how long a node may take to come or go.
const nodeTimeout = time.Minute

// kubernetes returns a client of the lab's API server.
func (h *host) kubernetes() (kubernetes.Interface, error) {
	cfg, err := clientcmd.BuildConfigFromFlags("", h.dir.Kubeconfig(internalUser))
	if err != nil {
		return nil, err
	}
	cfg.Dial = h.dialControl
	return kubernetes.NewForConfig(cfg)
}

// nodesReady returns when all nodes are Ready and take pods.
func (h *host) nodesReady(ctx context.Context, nodes []layout.Node) error {
	api, err := h.kubernetes()
	if err != nil {
		return err
	}
	missing := map[string]bool{}
	for _, n := range nodes {
		missing[n.Name] = true
	}
	for len(missing) > 0 {
		if err := watchNodes(ctx, api, missing); err != nil {
			return notReady(missing, err)
		}
	}
	return nil
}

// notReady blames the agent of one of the nodes.
func notReady(missing map[string]bool, cause error) error {
	nodes := sortedKeys(missing)
	return &supervisor.FailedError{
		Name:   component.NodeAgent + "-" + nodes[0],
		Reason: fmt.Sprintf("not Ready: %s: %v", strings.Join(nodes, ", "), cause),
	}
}

// watchNodes strikes nodes off that are Ready, until none is missing or the
// API server ends the watch.
func watchNodes(ctx context.Context, api kubernetes.Interface, missing map[string]bool) error {
	w, err := api.CoreV1().Nodes().Watch(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	defer w.Stop()
	for e := range w.ResultChan() {
		if n, ok := e.Object.(*corev1.Node); ok && ready(n) && !tainted(n) {
			delete(missing, n.Name)
		}
		if len(missing) == 0 {
			return nil
		}
	}
	return ctx.Err()
}

func ready(n *corev1.Node) bool {
	return slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
}

// tainted reports whether the taint that every new node has is still there. The
// controller manager takes it away a moment after the node is Ready.
func tainted(n *corev1.Node) bool {
	return slices.ContainsFunc(n.Spec.Taints, func(t corev1.Taint) bool { return t.Key == corev1.TaintNodeNotReady })
}

func sortedKeys(m map[string]bool) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// addNode makes a node in a zone. It is written down before anything is made,
// so that a lab that dies meanwhile is still taken away whole.
func (h *host) addNode(ctx context.Context, zone string) (layout.NodeSpec, error) {
	h.changing.Lock()
	defer h.changing.Unlock()
	ctx, cancel := context.WithTimeout(ctx, nodeTimeout)
	defer cancel()
	s := h.current()
	spec := layout.NodeSpec{Name: layout.NodeName(s.NextNode), Zone: zone, Index: layout.FreeIndex(s.Nodes, zone)}
	if _, err := layout.New(s.Prefix, s.Zones, append(slices.Clone(s.Nodes), spec)); err != nil {
		return layout.NodeSpec{}, invalidError{err}
	}
	if err := h.change(func(s *state) { s.Nodes, s.NextNode = append(s.Nodes, spec), s.NextNode+1 }); err != nil {
		return layout.NodeSpec{}, err
	}
	if err := h.makeNode(ctx, spec.Name); err != nil {
		return spec, fmt.Errorf("add %s: %w", spec.Name, err)
	}
	return spec, nil
}

func (h *host) makeNode(ctx context.Context, name string) error {
	cfg, err := h.current().config(h.dir)
	if err != nil {
		return err
	}
	n, _ := cfg.Layout.Node(name) // it has just been added
	if err := netlab.Apply(cfg.Layout.Network()); err != nil {
		return err
	}
	if err := (preparer{h.dir, h.current(), cfg.Layout, time.Now()}).node(n); err != nil {
		return err
	}
	if !slices.Contains(cfg.Without, component.Engine) {
		if err := h.instanceKnown(ctx, n.InstanceID); err != nil {
			return err
		}
	}
	components := component.OfNode(cfg, n)
	h.sup.Add(components...)
	if err := h.sup.WaitServing(ctx, names(components)...); err != nil {
		return err
	}
	if slices.Contains(cfg.Without, component.NodeAgent) {
		return nil
	}
	return h.nodesReady(ctx, []layout.Node{n})
}

// invalidError is a mistake of who asks.
type invalidError struct{ error }

// removeNode takes a node away. Every step may be repeated; the state forgets
// the node last.
func (h *host) removeNode(ctx context.Context, name string) error {
	h.changing.Lock()
	defer h.changing.Unlock()
	ctx, cancel := context.WithTimeout(ctx, nodeTimeout)
	defer cancel()
	cfg, err := h.current().config(h.dir)
	if err != nil {
		return err
	}
	n, ok := cfg.Layout.Node(name)
	if !ok {
		return invalidError{fmt.Errorf("there is no node %q", name)}
	}
	h.sup.Remove(names(component.OfNode(cfg, n))...)
	if err := h.forgetNode(ctx, name); err != nil {
		return fmt.Errorf("remove %s: %w", name, err)
	}
	if err := h.removeMachine(ctx, cfg.Layout.Prefix, name); err != nil {
		return fmt.Errorf("remove %s: %w", name, err)
	}
	drop := func(s *state) {
		s.Nodes = slices.DeleteFunc(s.Nodes, func(spec layout.NodeSpec) bool { return spec.Name == name })
	}
	next := h.current()
	next.Nodes = slices.Clone(next.Nodes)
	drop(&next)
	l, err := next.layout()
	if err != nil {
		return err
	}
	if err := (preparer{h.dir, next, l, time.Now()}).inventory(); err != nil {
		return err
	}
	return h.change(drop)
}

// forgetNode deletes the Node object and the pods bound to it: their programs
// have ended with the node, and nobody is left who could say so.
func (h *host) forgetNode(ctx context.Context, name string) error {
	api, err := h.kubernetes()
	if err != nil {
		return err
	}
	if err := api.CoreV1().Nodes().Delete(ctx, name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	bound := metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("spec.nodeName", name).String()}
	pods, err := api.CoreV1().Pods(metav1.NamespaceAll).List(ctx, bound)
	if err != nil {
		return err
	}
	var errs []error
	for _, p := range pods.Items {
		err := api.CoreV1().Pods(p.Namespace).Delete(ctx, p.Name, *metav1.NewDeleteOptions(0))
		if err != nil && !apierrors.IsNotFound(err) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// removeMachine takes away the namespaces of a node and of its pods, and the
// node's files. Its link goes with its namespace.
func (h *host) removeMachine(ctx context.Context, prefix, name string) error {
	pods, err := podNamespaces(h.dir.NodeAgent(name))
	if err != nil {
		return err
	}
	if err := removeNamespaces(ctx, append(pods, prefix+name)); err != nil {
		return err
	}
	return os.RemoveAll(filepath.Dir(h.dir.NodeAgent(name)))
}
