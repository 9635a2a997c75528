package lab

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"sync"
	"text/tabwriter"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-lb/fairlead/internal/lab/component"
	"github.com/fairlead-lb/fairlead/internal/lab/supervisor"
)

// Report is the health of a lab.
type Report struct {
	Healthy    bool              `json:"healthy"`
	Problem    string            `json:"problem,omitempty"` // of the lab as a whole
	StateDir   string            `json:"stateDir"`
	Started    time.Time         `json:"started"`
	Kubernetes string            `json:"kubernetes"` // URL on the host
	Engine     string            `json:"engine"`     // URL on the host
	Zones      []ZoneReport      `json:"zones"`
	Nodes      []NodeReport      `json:"nodes"`
	Components []ComponentReport `json:"components"`
}

// ZoneReport is a zone and its edge.
type ZoneReport struct {
	Name   string       `json:"name"`
	Subnet netip.Prefix `json:"subnet"`
	Edge   netip.Addr   `json:"edge"`
}

// NodeReport is a node.
type NodeReport struct {
	Name       string     `json:"name"`
	Zone       string     `json:"zone"`
	InstanceID string     `json:"instanceId"`
	IPv4       netip.Addr `json:"ipv4"`
	IPv6       netip.Addr `json:"ipv6"`
	Ready      bool       `json:"ready"`
}

// ComponentReport is a component and what it says of itself right now.
type ComponentReport struct {
	supervisor.Status
	Healthy bool   `json:"healthy"`
	Log     string `json:"log"`
}

// report is what follows from the state.
func (s state) report(dir component.Dir) Report {
	r := Report{
		StateDir: string(dir), Started: s.Started,
		Kubernetes: "https://" + loopback(s.APIPort).String(), Engine: "http://" + loopback(s.EnginePort).String(),
	}
	l, err := s.layout()
	if err != nil {
		r.Problem = err.Error()
		return r
	}
	for _, z := range l.Zones {
		r.Zones = append(r.Zones, ZoneReport{z.Name, z.Subnet4, z.Edge4})
	}
	for _, n := range l.Nodes {
		r.Nodes = append(r.Nodes, NodeReport{Name: n.Name, Zone: n.Zone, InstanceID: n.InstanceID, IPv4: n.IPv4, IPv6: n.IPv6})
	}
	return r
}

// abandoned is the report on a lab without a supervisor.
func (l *Lab) abandoned() Report {
	r := l.state.report(l.dir)
	r.Problem = errNoSupervisor.Error()
	return r
}

// report asks every component now.
func (h *host) report(ctx context.Context) Report {
	s := h.current()
	r := s.report(h.dir)
	r.Healthy = r.Problem == ""
	cfg, err := s.config(h.dir)
	if err != nil {
		return r
	}
	r.Components = h.components(ctx, cfg)
	for _, c := range r.Components {
		r.Healthy = r.Healthy && c.Healthy
	}
	if isReady, err := h.readyNodes(ctx); err == nil {
		for i := range r.Nodes {
			r.Nodes[i].Ready = isReady[r.Nodes[i].Name]
			r.Healthy = r.Healthy && r.Nodes[i].Ready
		}
	} else {
		r.Healthy, r.Problem = false, fmt.Sprintf("list nodes: %v", err)
	}
	return r
}

func (h *host) components(ctx context.Context, cfg component.Config) []ComponentReport {
	probes := map[string]component.Probe{}
	for _, c := range component.All(cfg) {
		probes[c.Name] = c.Ready
	}
	statuses := h.sup.Status()
	reports := make([]ComponentReport, len(statuses))
	var wg sync.WaitGroup
	for i, s := range statuses {
		reports[i] = ComponentReport{Status: s, Healthy: s.Serving(), Log: h.dir.Log(s.Name)}
		if s.Phase != supervisor.Ready {
			continue
		}
		wg.Go(func() {
			if err := supervisor.Ask(ctx, s.Namespace, probes[s.Name]); err != nil {
				reports[i].Healthy, reports[i].Reason = false, err.Error()
			}
		})
	}
	wg.Wait()
	return reports
}

func (h *host) readyNodes(ctx context.Context) (map[string]bool, error) {
	api, err := h.kubernetes()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	list, err := api.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	all := map[string]bool{}
	for _, n := range list.Items {
		all[n.Name] = ready(&n)
	}
	return all, nil
}

// Print writes the report for people.
func (r Report) Print(w io.Writer, now time.Time) {
	fmt.Fprintf(w, "Lab in %s, up for %v\n", r.StateDir, now.Sub(r.Started).Round(time.Second))
	if r.Problem != "" {
		fmt.Fprintf(w, "PROBLEM: %s\n", r.Problem)
	}
	fmt.Fprintf(w, "Kubernetes API %s   AWS API %s\n", r.Kubernetes, r.Engine)
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "\nZONE\tSUBNET\tEDGE")
	for _, z := range r.Zones {
		fmt.Fprintf(t, "%s\t%s\t%s\n", z.Name, z.Subnet, z.Edge)
	}
	fmt.Fprintln(t, "\nNODE\tZONE\tINSTANCE\tADDRESS\tREADY")
	for _, n := range r.Nodes {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", n.Name, n.Zone, n.InstanceID, n.IPv4, yes(n.Ready))
	}
	if len(r.Components) > 0 {
		fmt.Fprintln(t, "\nCOMPONENT\tHEALTHY\tPHASE\tPID\tFOR\tRESTARTS\tREASON")
	}
	for _, c := range r.Components {
		pid := ""
		if c.PID > 0 {
			pid = fmt.Sprint(c.PID)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%v\t%d\t%.120s\n", c.Name, yes(c.Healthy), c.Phase, pid, now.Sub(c.Since).Round(time.Second), c.Restarts, c.Reason)
	}
	t.Flush()
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "NO"
}
