package edge

import (
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/fairlead-lb/fairlead/internal/edgeapi"
	"github.com/fairlead-lb/fairlead/internal/health"
	"github.com/fairlead-lb/fairlead/internal/lb"
)

func TestSnapshotIsProbedAppliedAndReported(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		e, dp, prober := newEngine(), &tables{}, &answers{open: map[uint16]bool{1: true}}
		start(t, dir, Config{Link: edgeapi.NewLocal(e, zone), DataPath: dp, Prober: prober})
		e.snapshots <- snapshot(7, group(1, 2))
		time.Sleep(11 * time.Second) // two checks of each
		synctest.Wait()
		if diff := cmp.Diff(map[uint16]bool{1: true, 2: false}, dp.last().serving); diff != "" {
			t.Errorf("data path (-want +got):\n%s", diff)
		}
		want := map[string]lb.HealthState{"i-1": lb.Healthy, "i-2": lb.Unhealthy}
		revision, seen := e.seen()
		if diff := cmp.Diff(want, seen); diff != "" || revision != 7 {
			t.Errorf("engine at revision %d (-want +got):\n%s", revision, diff)
		}
		if got := e.path(); got != lb.DataPathNative {
			t.Errorf("the engine knows the data path %q, want native", got)
		}
		e.snapshots <- snapshot(8, group(1))
		time.Sleep(time.Second)
		synctest.Wait()
		revision, seen = e.seen()
		if diff := cmp.Diff(map[string]lb.HealthState{"i-1": lb.Healthy}, seen); diff != "" || revision != 8 {
			t.Errorf("engine at revision %d after a target left (-want +got):\n%s", revision, diff)
		}
	})
}

func TestHealthReachesTheDataPathWithin50ms(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		e, dp, prober := newEngine(), &tables{}, &answers{open: map[uint16]bool{}}
		ports := make([]uint16, 300)
		for i := range ports {
			ports[i] = uint16(i + 1)
			prober.open[ports[i]] = true
		}
		start(t, dir, Config{Link: edgeapi.NewLocal(e, zone), DataPath: dp, Prober: prober})
		e.snapshots <- snapshot(1, group(ports...))
		time.Sleep(49 * time.Millisecond)
		synctest.Wait()
		for port, serving := range dp.last().serving {
			if !serving {
				t.Errorf("49 ms after the first check passed, target %d takes no flows", port)
			}
		}
		for _, port := range ports {
			prober.set(port, false)
		}
		before := len(dp.all())
		time.Sleep(time.Minute)
		synctest.Wait()
		applied := dp.all()[before:]
		if got := len(applied); got == 0 || got > 2*len(ports) {
			t.Errorf("%d Apply calls for %d changes", got, len(ports))
		}
		for i := 1; i < len(applied); i++ {
			if gap := applied[i].at.Sub(applied[i-1].at); gap < applyPause {
				t.Fatalf("two Apply calls within %v, want at least %v between them", gap, applyPause)
			}
		}
	})
}

func TestEdgeGoesOnFromDiskWithoutTheEngine(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		prober := &answers{open: map[uint16]bool{1: true}}
		e := newEngine()
		_, stop := start(t, dir, Config{Link: edgeapi.NewLocal(e, zone), DataPath: &tables{}, Prober: prober})
		e.snapshots <- snapshot(7, group(1, 2))
		time.Sleep(12 * time.Second)
		stop()

		dp := &tables{}
		edge, stop := start(t, dir, Config{Link: noEngine{}, DataPath: dp, Prober: prober})
		synctest.Wait()
		first := dp.all()[0]
		if diff := cmp.Diff(map[uint16]bool{1: true, 2: false}, first.serving); diff != "" || first.revision != 7 {
			t.Errorf("first Apply after a restart: revision %d (-want +got):\n%s", first.revision, diff)
		}
		if err := edge.Ready(); err != nil {
			t.Errorf("Ready = %v", err)
		}
		prober.set(2, true)
		time.Sleep(15 * time.Second)
		synctest.Wait()
		if !dp.last().serving[2] {
			t.Error("a target that recovered without the engine takes no flows")
		}
		stop()
	})
}

func TestEndOfDrainingIsAppliedInTime(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		e, dp := newEngine(), &tables{}
		start(t, dir, Config{Link: edgeapi.NewLocal(e, zone), DataPath: dp, Prober: &answers{open: map[uint16]bool{1: true}}})
		g := group(1)
		end := time.Now().Add(time.Minute)
		g.Targets[0].DrainUntil = end
		e.snapshots <- snapshot(1, g)
		time.Sleep(50 * time.Second)
		synctest.Wait()
		before := len(dp.all())
		time.Sleep(11 * time.Second)
		synctest.Wait()
		after := dp.all()[before:]
		if len(after) != 1 || !after[0].at.Equal(end) {
			t.Errorf("Apply calls around the deadline: %v, want one at %v", after, end)
		}
	})
}

func TestApplyIsRetriedAndNotReadyMeanwhile(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		e, dp := newEngine(), &tables{}
		dp.fail(errors.New("no room in the map"))
		edge, _ := start(t, dir, Config{Link: edgeapi.NewLocal(e, zone), DataPath: dp, Prober: &answers{open: map[uint16]bool{1: true}}})
		if err := edge.Ready(); err == nil || !strings.Contains(err.Error(), "no snapshot yet") {
			t.Errorf("Ready = %v before any snapshot", err)
		}
		e.snapshots <- snapshot(3, group(1))
		time.Sleep(applyRetry * 3 / 2)
		synctest.Wait()
		if err := edge.Ready(); err == nil || !strings.Contains(err.Error(), "revision 3: no room in the map") {
			t.Errorf("Ready = %v while Apply fails", err)
		}
		if revision, seen := e.seen(); revision != 0 || seen["i-1"] != lb.Healthy {
			t.Errorf("engine sees revision %d and %v, want 0 and the target's health", revision, seen)
		}
		dp.fail(nil)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if err := edge.Ready(); err != nil {
			t.Errorf("Ready = %v after a retry", err)
		}
		if revision, _ := e.seen(); revision != 3 {
			t.Errorf("engine sees revision %d, want 3", revision)
		}
	})
}

func TestSnapshotOfAnotherZoneIsIgnored(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		e, dp := newEngine(), &tables{}
		start(t, dir, Config{Link: edgeapi.NewLocal(e, zone), DataPath: dp, Prober: &answers{}})
		other := snapshot(1, group(1))
		other.Zone = "us-west-2b"
		e.snapshots <- other
		time.Sleep(time.Second)
		synctest.Wait()
		if got := dp.all(); len(got) != 0 {
			t.Errorf("applied %v", got)
		}
	})
}

func TestStateDirectoryIsForOneEdge(t *testing.T) {
	dir, log := filepath.Join(t.TempDir(), "made"), slog.New(slog.DiscardHandler)
	first, err := OpenDisk(dir, zone, sealWith("k"), log)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenDisk(dir, zone, sealWith("k"), log); err == nil || !strings.Contains(err.Error(), "another edge uses") {
		t.Errorf("a second edge in the same directory: %v", err)
	}
	if err := errors.Join(first.saveSnapshot(snapshot(1)), first.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenDisk(dir, "us-west-2b", sealWith("k"), log); err == nil || !strings.Contains(err.Error(), "belongs to the edge of zone us-west-2a") {
		t.Errorf("another zone's directory: %v", err)
	}
}

func TestDamagedFilesAreAsGoodAsNone(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{snapshotFile, healthFile} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(`{"zone":`), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d, err := OpenDisk(dir, zone, sealWith("k"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if d.restored.known {
		t.Error("went on from a damaged snapshot")
	}
}

func TestMetricsAndState(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		e, registry := newEngine(), prometheus.NewRegistry()
		edge, _ := start(t, dir, Config{Link: edgeapi.NewLocal(e, zone), DataPath: &tables{},
			Prober: &answers{open: map[uint16]bool{1: true}}, Metrics: registry})
		e.snapshots <- snapshot(9, group(1, 2))
		time.Sleep(time.Second)
		synctest.Wait()
		const group, balancer = `{targetgroup/web/0123456789abcdef}`, `{net/web/0123456789abcdef}`
		want := map[string]float64{
			"fairlead_edge_applied_revision": 9, "fairlead_edge_engine_connected": 1, "fairlead_edge_data_path_info{native}": 1,
			"fairlead_healthy_host_count" + group: 1, "fairlead_unhealthy_host_count" + group: 1,
			"fairlead_edge_apply_errors_total": 0, "fairlead_edge_disk_errors_total": 0,
			"fairlead_edge_packets_total{sent_to_target}": 40, "fairlead_edge_flow_events_total{hairpin}": 1,
			"fairlead_edge_flow_table_flows": 7, "fairlead_edge_flow_table_room": 4096,
			"fairlead_new_flow_count_total" + balancer + "{tcp}": 5, "fairlead_new_flow_count_total" + balancer + "{udp}": 0,
			"fairlead_active_flow_count" + balancer + "{tcp}": 0, "fairlead_active_flow_count" + balancer + "{udp}": 2,
			"fairlead_processed_bytes_total" + balancer + "{tcp}": 0, "fairlead_processed_bytes_total" + balancer + "{udp}": 0,
			"fairlead_rejected_flow_count_total" + balancer + "{tcp}": 0, "fairlead_rejected_flow_count_total" + balancer + "{udp}": 0,
			"fairlead_security_group_blocked_flow_count_inbound_total" + balancer + "{tcp}": 0, "fairlead_security_group_blocked_flow_count_inbound_total" + balancer + "{udp}": 0,
			"fairlead_security_group_blocked_flow_count_inbound_total" + balancer + "{icmp}": 0,
			"fairlead_security_group_blocked_flow_count_outbound_total" + balancer + "{tcp}": 0, "fairlead_security_group_blocked_flow_count_outbound_total" + balancer + "{udp}": 3,
			"fairlead_processed_packets_total" + balancer: 90, "fairlead_tcp_client_reset_count_total" + balancer: 0,
			"fairlead_tcp_elb_reset_count_total" + balancer: 0, "fairlead_tcp_target_reset_count_total" + balancer: 0,
			"fairlead_port_allocation_error_count_total" + balancer: 0, "fairlead_unhealthy_routing_flow_count_total" + balancer: 0,
		}
		if diff := cmp.Diff(want, gather(t, registry)); diff != "" {
			t.Errorf("metrics (-want +got):\n%s", diff)
		}
		state := edge.State()
		if state.AppliedRevision != 9 || !state.Connected || len(state.Health) != 2 || state.Zone != zone {
			t.Errorf("State = %+v", state)
		}
	})
}

// gather returns counters and gauges by name and label values.
func gather(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, family := range families {
		for _, m := range family.Metric {
			name := family.GetName()
			for _, label := range m.Label {
				name += "{" + label.GetValue() + "}"
			}
			switch {
			case m.Gauge != nil:
				got[name] = m.Gauge.GetValue()
			case m.Counter != nil:
				got[name] = m.Counter.GetValue()
			}
		}
	}
	return got
}

// One pass without any stand-in but the data path: real targets, real probes.
func TestRealTargets(t *testing.T) {
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }))
	defer web.Close()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	target := func(id, addr string) lb.ZonalTarget {
		a := netip.MustParseAddrPort(addr)
		return lb.ZonalTarget{ID: id, Port: a.Port(), Addr: a.Addr()}
	}
	tcp, http := group(), group()
	tcp.HealthCheck.UnhealthyThreshold, http.HealthCheck.UnhealthyThreshold = 1, 1
	tcp.Targets = []lb.ZonalTarget{target("open", web.Listener.Addr().String()), target("closed", closed.Addr().String())}
	http.ARN, http.HealthCheck.Protocol = "http", lb.HTTP
	http.Targets = []lb.ZonalTarget{target("busy", web.Listener.Addr().String())}

	e, dp := newEngine(), &tables{}
	start(t, t.TempDir(), Config{Link: edgeapi.NewLocal(e, zone), DataPath: dp, Prober: health.NetProber{}})
	e.snapshots <- snapshot(1, tcp, http)
	want := map[string]lb.HealthState{"open": lb.Healthy, "closed": lb.Unhealthy, "busy": lb.Unhealthy}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		_, seen := e.seen()
		diff := cmp.Diff(want, seen)
		if diff == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("engine (-want +got):\n%s", diff)
		}
	}
}
