package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/yaml"

	"github.com/fairlead-lb/fairlead/internal/edgeapi"
	"github.com/fairlead-lb/fairlead/internal/engine"
	"github.com/fairlead-lb/fairlead/internal/engine/elbv2"
	"github.com/fairlead-lb/fairlead/internal/iam/directory"
	"github.com/fairlead-lb/fairlead/internal/kubetest"
	"github.com/fairlead-lb/fairlead/internal/lb"
)

// awsLatency is what each call takes longer than the engine alone would.
const awsLatency = 30 * time.Millisecond

// world is a real API server with nodes, an engine behind a recorder, and edges
// that find every target healthy at once.
type world struct {
	dir        string
	kubeconfig string
	kube       kubernetes.Interface
	cluster    *kubetest.Cluster
	engine     *engine.Engine
	aws        *recorder
	key        directory.Key
	stop       context.CancelFunc
	stopped    chan error
}

func newWorld(ctx context.Context, nodes int) (w *world, err error) {
	w = &world{stopped: make(chan error, 1)}
	if w.dir, err = os.MkdirTemp("", "bench-world-"); err != nil {
		return nil, err
	}
	if err := w.startEngine(ctx, nodes); err != nil {
		return nil, fmt.Errorf("start an engine: %w", err)
	}
	if w.cluster, err = kubetest.Start(ctx); err != nil {
		return nil, err
	}
	if w.kube, err = kubernetes.NewForConfig(w.cluster.Config); err != nil {
		return nil, err
	}
	w.kubeconfig = filepath.Join(w.dir, "kubeconfig")
	if err := w.writeKubeconfig(); err != nil {
		return nil, err
	}
	for n := range nodes {
		if err := w.addNode(ctx, n); err != nil {
			return nil, err
		}
	}
	return w, nil
}

func (w *world) startEngine(ctx context.Context, nodes int) error {
	inventory, err := writeNetwork(w.dir, nodes)
	if err != nil {
		return err
	}
	registry := prometheus.NewRegistry()
	w.engine, err = engine.Open(engine.Config{
		Region: region, AccountID: accountID, StateDir: filepath.Join(w.dir, "state"), Inventory: inventory,
		Quotas: elbv2.DefaultQuotas(), Logger: slog.New(slog.DiscardHandler), Metrics: registry,
	})
	if err != nil {
		return err
	}
	w.key, _ = w.engine.RootKey()
	address, err := freeAddress()
	if err != nil {
		return err
	}
	edges, err := freeAddress()
	if err != nil {
		return err
	}
	ctx, w.stop = context.WithCancel(ctx)
	go func() { w.stopped <- w.engine.Run(ctx, engine.Listeners{API: address, Edges: edges}, registry) }()
	for _, zone := range zones {
		if err := contentEdge(ctx, w.engine.Source(), zone); err != nil {
			return err
		}
	}
	w.aws, err = newRecorder("http://"+address, awsLatency)
	return err
}

// contentEdge is an edge of a zone that finds every target healthy as soon as
// it hears of it.
func contentEdge(ctx context.Context, source edgeapi.Source, zone string) error {
	snapshots, cancel, err := source.Watch(zone)
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, cancel)
	go func() {
		known := map[lb.TargetKey]bool{}
		for {
			select {
			case <-ctx.Done():
				return
			case s := <-snapshots:
				source.Report(content(s, known))
			}
		}
	}()
	return nil
}

// content reports the targets of a snapshot that are not known yet, and the
// known ones that are in it no more.
func content(s lb.ZoneSnapshot, known map[lb.TargetKey]bool) lb.HealthReport {
	report := lb.HealthReport{Zone: s.Zone, Revision: s.Revision, Full: len(known) == 0}
	present := make(map[lb.TargetKey]bool, len(known))
	for _, g := range s.TargetGroups {
		for _, t := range g.Targets {
			key := lb.TargetKey{TargetGroupARN: g.ARN, ID: t.ID, Port: t.Port}
			if present[key] = true; !known[key] {
				known[key] = true
				report.Targets = append(report.Targets, lb.TargetHealthReport{Target: key, Health: lb.TargetHealth{State: lb.Healthy}})
			}
		}
	}
	for key := range known {
		if !present[key] {
			delete(known, key)
			report.Removed = append(report.Removed, key)
		}
	}
	return report
}

func (w *world) writeKubeconfig() error {
	c := clientcmdapi.NewConfig()
	c.Clusters["bench"] = &clientcmdapi.Cluster{Server: w.cluster.Config.Host, InsecureSkipTLSVerify: true}
	c.AuthInfos["bench"] = &clientcmdapi.AuthInfo{Token: w.cluster.Config.BearerToken}
	c.Contexts["bench"] = &clientcmdapi.Context{Cluster: "bench", AuthInfo: "bench"}
	c.CurrentContext = "bench"
	return clientcmd.WriteToFile(*c, w.kubeconfig)
}

func nodeName(n int) string { return fmt.Sprintf("node-%d", n+1) }

func (w *world) addNode(ctx context.Context, n int) error {
	zone := zones[n%len(zones)]
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: nodeName(n), Labels: map[string]string{"topology.kubernetes.io/zone": zone, "topology.kubernetes.io/region": region}},
		Spec:       corev1.NodeSpec{ProviderID: "aws:///" + zone + "/" + instanceID(n)},
	}
	node, err := w.kube.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	node.Spec.Taints = nil // an API server without a node controller taints new nodes for good
	if node, err = w.kube.CoreV1().Nodes().Update(ctx, node, metav1.UpdateOptions{}); err != nil {
		return err
	}
	node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "Bench"}}
	address := network(n + 1).Instances[n].Interfaces[0].Addresses[0].String()
	node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: address}}
	_, err = w.kube.CoreV1().Nodes().UpdateStatus(ctx, node, metav1.UpdateOptions{})
	return err
}

// removeNode takes a node away as a terminated instance goes: the Node object
// first, and the instance is in no list of EC2's any more.
func (w *world) removeNode(ctx context.Context, n int) error {
	if err := w.kube.CoreV1().Nodes().Delete(ctx, nodeName(n), metav1.DeleteOptions{}); err != nil {
		return err
	}
	data, err := yaml.Marshal(network(n))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(w.dir, "inventory.yaml"), data, 0o600)
}

func serviceName(i int) string { return fmt.Sprintf("web-%d", i) }

func (w *world) addService(ctx context.Context, i int) error {
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{
		Name: serviceName(i), Annotations: map[string]string{"service.beta.kubernetes.io/aws-load-balancer-type": "nlb"},
	}}
	s.Spec.Type, s.Spec.Ports = corev1.ServiceTypeLoadBalancer, []corev1.ServicePort{{Name: "http", Port: 80}}
	_, err := w.kube.CoreV1().Services("default").Create(ctx, s, metav1.CreateOptions{})
	return err
}

// addServices creates Services from..to-1, as fast as the API server takes them.
func (w *world) addServices(ctx context.Context, from, to int) error {
	for i := from; i < to; i++ {
		if err := w.addService(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) deleteServices(ctx context.Context, from, to int) error {
	for i := from; i < to; i++ {
		if err := w.kube.CoreV1().Services("default").Delete(ctx, serviceName(i), metav1.DeleteOptions{}); err != nil {
			return err
		}
	}
	return nil
}

// served counts the Services that have a load balancer's name.
func (w *world) served(ctx context.Context) (with, all int, err error) {
	list, err := w.kube.CoreV1().Services("default").List(ctx, metav1.ListOptions{})
	if err != nil {
		return 0, 0, err
	}
	for _, s := range list.Items {
		if s.Spec.Type != corev1.ServiceTypeLoadBalancer {
			continue
		}
		all++
		if len(s.Status.LoadBalancer.Ingress) > 0 {
			with++
		}
	}
	return with, all, nil
}

// pending counts the Services whose status says that health is to be told.
func (w *world) pending(ctx context.Context) (n int, err error) {
	list, err := w.kube.CoreV1().Services("default").List(ctx, metav1.ListOptions{})
	if err != nil {
		return 0, err
	}
	for _, s := range list.Items {
		for _, c := range s.Status.Conditions {
			if c.Type == "TargetsHealthy" && c.Reason == "TargetsPending" {
				n++
			}
		}
	}
	return n, nil
}

func (w *world) close() error {
	w.stop()
	return errors.Join(<-w.stopped, w.aws.close(), w.engine.Close(), w.cluster.Stop(), os.RemoveAll(w.dir))
}

func joinCounts(names []string, n map[string]int) string {
	var parts []string
	for _, name := range names {
		parts = append(parts, fmt.Sprintf("%s %d", name, n[name]))
	}
	return strings.Join(parts, ", ")
}
