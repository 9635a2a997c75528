package clusterdns

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-lb/fairlead/internal/lab/component"
	"github.com/fairlead-lb/fairlead/internal/lab/layout"
	"github.com/fairlead-lb/fairlead/internal/lab/nodeagent/nodetest"
)

const balancer = "web-0123456789abcdef.elb.us-west-2.amazonaws.com."

// engine answers for one load balancer and for nothing else.
func engine(t *testing.T) netip.AddrPort {
	t.Helper()
	h := dns.HandlerFunc(func(w dns.ResponseWriter, r *dns.Msg) {
		m := new(dns.Msg).SetReply(r)
		if r.Question[0].Name == balancer {
			m.Answer = append(m.Answer, &dns.A{Hdr: header(balancer, dns.TypeA), A: netip.MustParseAddr("198.18.16.200").AsSlice()})
		} else {
			m.Rcode = dns.RcodeNameError
		}
		_ = w.WriteMsg(m)
	})
	return serve(t, h)
}

// serve answers UDP on loopback until the test ends.
func serve(t *testing.T, h dns.Handler) netip.AddrPort {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	udp := &dns.Server{PacketConn: conn, Handler: h}
	started := make(chan struct{})
	udp.NotifyStartedFunc = func() { close(started) }
	ended := make(chan error, 1)
	go func() { ended <- udp.ActivateAndServe() }()
	<-started
	t.Cleanup(func() {
		if err := udp.Shutdown(); err != nil {
			t.Error(err)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return netip.MustParseAddrPort(conn.LocalAddr().String())
}

func handler(t *testing.T, engine netip.AddrPort) *Handler {
	t.Helper()
	source := shop().Source.(fixed)
	source.services = append(source.services, service("lb", corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: strings.TrimSuffix(balancer, ".")}),
		service("loop", corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "loop.shop.svc.cluster.local"}))
	return NewHandler(Config{Domain: "cluster.local", Engine: engine, Region: "us-west-2", Logger: slog.New(slog.DiscardHandler)}, source)
}

func TestReplies(t *testing.T) {
	h := handler(t, engine(t))
	for name, test := range map[string]struct {
		name  string
		rcode int
		want  []string
	}{
		"a Service":                               {"web.shop.svc.cluster.local.", dns.RcodeSuccess, []string{"198.19.0.7"}},
		"a load balancer from the engine":         {balancer, dns.RcodeSuccess, []string{"198.18.16.200"}},
		"no load balancer that the engine has":    {"gone-1.elb.us-west-2.amazonaws.com.", dns.RcodeNameError, nil},
		"a classic load balancer's form":          {"gone-1.us-west-2.elb.amazonaws.com.", dns.RcodeNameError, nil},
		"a load balancer of another region":       {"a-1.elb.eu-west-1.amazonaws.com.", dns.RcodeNameError, nil},
		"anything else does not exist":            {"example.com.", dns.RcodeNameError, nil},
		"an alias within the zone is followed":    {"out.shop.svc.cluster.local.", dns.RcodeSuccess, []string{"web.shop.svc.cluster.local.", "198.19.0.7"}},
		"an alias to a load balancer is followed": {"lb.shop.svc.cluster.local.", dns.RcodeSuccess, []string{balancer, "198.18.16.200"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := h.Reply(new(dns.Msg).SetQuestion(test.name, dns.TypeA))
			if diff := cmp.Diff(test.want, data(got.Answer)); diff != "" || got.Rcode != test.rcode {
				t.Errorf("got %s, want %s; records (-want +got):\n%s", dns.RcodeToString[got.Rcode], dns.RcodeToString[test.rcode], diff)
			}
		})
	}
	if got := h.Reply(new(dns.Msg).SetQuestion("loop.shop.svc.cluster.local.", dns.TypeA)); got.Rcode != dns.RcodeServerFailure {
		t.Errorf("a loop of aliases gives %s, want SERVFAIL", dns.RcodeToString[got.Rcode])
	}
}

func TestBadQueriesAreRefusedByTheirKind(t *testing.T) {
	h := handler(t, engine(t))
	query := func(change func(*dns.Msg)) int {
		m := new(dns.Msg).SetQuestion("web.shop.svc.cluster.local.", dns.TypeA)
		change(m)
		return h.Reply(m).Rcode
	}
	got := map[string]int{
		"another operation": query(func(m *dns.Msg) { m.Opcode = dns.OpcodeUpdate }),
		"no question":       query(func(m *dns.Msg) { m.Question = nil }),
		"another class":     query(func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }),
	}
	want := map[string]int{"another operation": dns.RcodeNotImplemented, "no question": dns.RcodeFormatError, "another class": dns.RcodeRefused}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSilentEngineIsAServerFailure(t *testing.T) {
	free := engine(t)
	h := handler(t, netip.AddrPortFrom(free.Addr(), 1)) // nothing listens there
	if got := h.Reply(new(dns.Msg).SetQuestion(balancer, dns.TypeA)); got.Rcode != dns.RcodeServerFailure {
		t.Errorf("got %s, want SERVFAIL", dns.RcodeToString[got.Rcode])
	}
}

// TestCluster asks the DNS of a real cluster, from the control namespace and
// from a pod.
func TestCluster(t *testing.T) {
	c := nodetest.Start(t, component.ClusterDNS, component.KubeProxy)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, args := range [][]string{
		{"create", "deployment", "web", "--image=nginx", "--port=80"},
		{"expose", "deployment", "web"},
		{"rollout", "status", "deployment/web", "--timeout=50s"},
	} {
		if _, err := c.Run(c.Kubectl(ctx, args...)); err != nil {
			t.Fatal(err)
		}
	}
	svc, err := c.Client.CoreV1().Services("default").Get(ctx, "web", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, network := range []string{"udp", "tcp"} {
		for _, server := range []netip.Addr{layout.Control4, layout.Control6} {
			if got := ask(t, c, network, netip.AddrPortFrom(server, 53), "web.default.svc.cluster.local."); got != svc.Spec.ClusterIP {
				t.Errorf("%s over %s: got %q, want %s", server, network, got, svc.Spec.ClusterIP)
			}
		}
	}
	// A pod without a readiness probe is ready a moment before it listens.
	out, err := c.Run(c.Kubectl(ctx, "exec", "deployment/web", "--", "curl", "-sS", "--retry", "10", "--retry-delay", "1", "--retry-connrefused", "http://web.default/by-name"))
	if err != nil || !strings.Contains(out, "host:    web.default") {
		t.Errorf("a pod that asks for a Service by its short name got %q, error %v", out, err)
	}
}

// ask returns the data of the first record of an answer.
func ask(t *testing.T, c *nodetest.Cluster, network string, server netip.AddrPort, name string) string {
	t.Helper()
	conn, err := c.Dial(t.Context(), network, server.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	co := &dns.Conn{Conn: conn}
	client := dns.Client{Net: network, Timeout: 5 * time.Second}
	got, _, err := client.ExchangeWithConn(new(dns.Msg).SetQuestion(name, dns.TypeA), co)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Answer) == 0 {
		return dns.RcodeToString[got.Rcode]
	}
	return data(got.Answer)[0]
}
