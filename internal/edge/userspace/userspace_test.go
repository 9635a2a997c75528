package userspace_test

import (
	"crypto/tls"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-lb/fairlead/internal/edge/userspace"
	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/proxy"
)

var (
	vip4, vip6 = netip.MustParseAddr("198.18.16.100"), netip.MustParseAddr("2001:db8:0:1::100")
	elsewhere  = lb.ClientSets{"some": {netip.MustParsePrefix("203.0.113.0/24")}, "none": {}}
)

// scene is a Network Load Balancer with one listener and one group of two
// targets, i-1 healthy and i-2 unhealthy, as the snapshot has it before edits.
func scene(edit func(*lb.ZonalListener, *lb.ZonalGroup)) userspace.Input {
	g := lb.ZonalGroup{
		ARN: "group", Protocol: lb.TCP, PreserveClientIP: true, UnhealthyTermination: true,
		Targets: []lb.ZonalTarget{
			{ID: "i-1", Port: 8080, Addr: netip.MustParseAddr("198.18.16.16")},
			{ID: "i-2", Port: 8080, Addr: netip.MustParseAddr("198.18.16.17"), Siblings: []netip.Prefix{netip.MustParsePrefix("198.18.17.0/24")}},
		},
	}
	l := lb.ZonalListener{ARN: "listener", Protocol: lb.TCP, Port: 80, IdleTimeout: 350 * time.Second, Forward: []lb.WeightedGroup{{TargetGroupARN: "group"}}}
	edit(&l, &g)
	return userspace.Input{
		Snapshot: lb.ZoneSnapshot{
			LoadBalancers: []lb.ZonalBalancer{{ARN: "lb", Name: "web", IPv4: vip4, IPv6: vip6, Listeners: []lb.ZonalListener{l}}},
			TargetGroups:  []lb.ZonalGroup{g}, ClientSets: elsewhere,
		},
		Health: lb.Health{
			{TargetGroupARN: "group", ID: "i-1", Port: 8080}: lb.Healthy,
			{TargetGroupARN: "group", ID: "i-2", Port: 8080}: lb.Unhealthy,
		},
		Certificates: map[string]tls.Certificate{"www": {Certificate: [][]byte{[]byte("www")}}, "api": {Certificate: [][]byte{[]byte("api")}}},
	}
}

// words writes down what is served, a line for each listener and target, and
// then the problems.
func words(out userspace.Output) []string {
	var all []string
	for _, l := range out.Config.Listeners {
		all = append(all, listenerWords(l))
		for _, p := range l.Forward {
			for _, t := range p.Targets {
				all = append(all, fmt.Sprintf(" %s %s eligible=%t healthy=%t", t.ID, t.Addr, t.Eligible, t.Healthy))
			}
		}
	}
	return append(all, out.Problems...)
}

func listenerWords(l proxy.Listener) string {
	text := fmt.Sprintf("%s %s", l.Protocol, l.Address)
	if l.TLS != nil {
		for _, c := range l.TLS.Certificates {
			text += " certificate=" + string(c.Certificate[0])
		}
		text += fmt.Sprintf(" policy=%s alpn=%s", l.TLS.Policy.Name, strings.Join(l.TLS.ALPN, ","))
	}
	if l.Closed || l.Clients != nil {
		text += fmt.Sprintf(" clients=%v closed=%t", l.Clients, l.Closed)
	}
	for _, p := range l.Forward {
		text += fmt.Sprintf(" -> %s %s", p.Protocol, p.Key)
		if p.ProxyProtocol != proxy.NoProxyHeader {
			text += " header"
		}
		if p.KeepClientAddress {
			text += " keep"
		}
		if p.Source4.IsValid() || p.Source6.IsValid() {
			text += " from=" + p.Source4.String()
		}
	}
	return text
}

func TestNetworkLoadBalancersInUserSpace(t *testing.T) {
	i1, i2 := " i-1 198.18.16.16:8080 eligible=true healthy=true", " i-2 198.18.16.17:8080 eligible=false healthy=false"
	secure := func(l *lb.ZonalListener, _ *lb.ZonalGroup) {
		l.Protocol, l.Certificates, l.SSLPolicy, l.ALPNPolicy = lb.TLS, []string{"www", "api"}, "ELBSecurityPolicy-TLS13-1-2-2021-06", "HTTP2Preferred"
	}
	keep := " -> TCP group keep from=198.18.16.100"
	tests := map[string]struct {
		edit     func(*lb.ZonalListener, *lb.ZonalGroup)
		ordinary string
		want     []string
	}{
		"a plain listener needs none, but where clients come over the other family": {
			edit: func(*lb.ZonalListener, *lb.ZonalGroup) {},
			want: []string{"TCP [2001:db8:0:1::100]:80" + keep, i1, i2},
		},
		"UDP never does": {
			edit: func(l *lb.ZonalListener, g *lb.ZonalGroup) { l.Protocol, g.Protocol = lb.UDP, lb.UDP },
		},
		"TLS": {
			edit: secure,
			want: []string{
				"TLS 198.18.16.100:80 certificate=www certificate=api policy=ELBSecurityPolicy-TLS13-1-2-2021-06 alpn=h2,http/1.1,http/1.0" + keep, i1, i2,
				"TLS [2001:db8:0:1::100]:80 certificate=www certificate=api policy=ELBSecurityPolicy-TLS13-1-2-2021-06 alpn=h2,http/1.1,http/1.0" + keep, i1, i2,
			},
		},
		"TLS without one of the keys": {
			edit: func(l *lb.ZonalListener, g *lb.ZonalGroup) {
				secure(l, g)
				l.Certificates, g.Targets, g.Protocol = []string{"www", "gone"}, g.Targets[:1], lb.TLS
			},
			want: []string{
				"TLS 198.18.16.100:80 certificate=www policy=ELBSecurityPolicy-TLS13-1-2-2021-06 alpn=h2,http/1.1,http/1.0 -> TLS group keep from=198.18.16.100", i1,
				"TLS [2001:db8:0:1::100]:80 certificate=www policy=ELBSecurityPolicy-TLS13-1-2-2021-06 alpn=h2,http/1.1,http/1.0 -> TLS group keep from=198.18.16.100", i1,
				"listener listener: the key of certificate gone is not here",
			},
		},
		"TLS without any key": {
			edit: func(l *lb.ZonalListener, g *lb.ZonalGroup) { secure(l, g); l.Certificates = []string{"gone"} },
			want: []string{"listener listener: not served without a certificate", "listener listener: the key of certificate gone is not here"},
		},
		"a policy that nobody knows": {
			edit: func(l *lb.ZonalListener, g *lb.ZonalGroup) { secure(l, g); l.SSLPolicy = "mine" },
			want: []string{`listener listener: security policy "mine" is not one of AWS's that a listener can have here`},
		},
		"targets that expect a PROXY header": {
			edit: func(_ *lb.ZonalListener, g *lb.ZonalGroup) {
				g.ProxyProtocolV2, g.PreserveClientIP, g.Targets = true, false, g.Targets[:1]
			},
			want: []string{
				"TCP 198.18.16.100:80 -> TCP group header from=198.18.16.100", i1,
				"TCP [2001:db8:0:1::100]:80 -> TCP group header from=198.18.16.100", i1,
			},
		},
		"a group that fails open ends no connection": {
			edit: func(_ *lb.ZonalListener, g *lb.ZonalGroup) { g.UnhealthyRoutingMinCount = 2 },
			want: []string{"TCP [2001:db8:0:1::100]:80" + keep, i1, " i-2 198.18.16.17:8080 eligible=true healthy=true"},
		},
		"security groups": {
			edit: func(l *lb.ZonalListener, g *lb.ZonalGroup) {
				l.Clients.TCP = "some"
				g.Targets[0].OutboundBlocked = []lb.Protocol{lb.TCP}
			},
			want: []string{"TCP [2001:db8:0:1::100]:80 clients=[203.0.113.0/24] closed=false" + keep, " i-1 198.18.16.16:8080 eligible=false healthy=true", i2},
		},
		"security groups that let nobody in": {
			edit: func(l *lb.ZonalListener, g *lb.ZonalGroup) { l.Clients.TCP, g.Targets[0].Clients.TCP = "gone", "none" },
			want: []string{"TCP [2001:db8:0:1::100]:80 clients=[] closed=true" + keep, " i-1 198.18.16.16:8080 eligible=false healthy=true", i2},
		},
		"a draining target": {
			edit: func(_ *lb.ZonalListener, g *lb.ZonalGroup) {
				g.Targets = g.Targets[:1]
				g.Targets[0].DrainUntil = time.Unix(1, 0)
			},
			want: []string{"TCP [2001:db8:0:1::100]:80" + keep, " i-1 198.18.16.16:8080 eligible=false healthy=true"},
		},
		"everything at an ordinary address": {
			ordinary: "127.0.0.1",
			edit:     func(*lb.ZonalListener, *lb.ZonalGroup) {},
			want:     []string{"TCP 127.0.0.1:80 -> TCP group", i1, i2},
		},
		"UDP at an ordinary address": {
			ordinary: "127.0.0.1",
			edit: func(l *lb.ZonalListener, g *lb.ZonalGroup) {
				l.Protocol, g.Protocol, g.Targets = lb.TCPUDP, lb.TCPUDP, g.Targets[:1]
			},
			want: []string{"TCP 127.0.0.1:80 -> TCP group", i1, "listener listener: UDP is not served in user space"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			in := scene(tc.edit)
			if tc.ordinary != "" {
				in.Ordinary = netip.MustParseAddr(tc.ordinary)
			}
			out := userspace.Desired(in)
			if diff := cmp.Diff(tc.want, words(out)); diff != "" {
				t.Errorf("served (-want +got):\n%s", diff)
			}
			for _, l := range out.Config.Listeners {
				if !out.Addresses[l.Address] {
					t.Errorf("%s is not among the addresses", l.Address)
				}
			}
		})
	}
}

func TestTwoListenersAtOneOrdinaryAddress(t *testing.T) {
	in := scene(func(*lb.ZonalListener, *lb.ZonalGroup) {})
	in.Ordinary = netip.MustParseAddr("127.0.0.1")
	other := in.Snapshot.LoadBalancers[0]
	other.ARN, other.Listeners = "other", []lb.ZonalListener{other.Listeners[0]}
	other.Listeners[0].ARN = "second"
	in.Snapshot.LoadBalancers = append(in.Snapshot.LoadBalancers, other)
	out := userspace.Desired(in)
	want := []string{"listener second: another load balancer's listener has 127.0.0.1:80 already"}
	if diff := cmp.Diff(want, out.Problems); diff != "" || len(out.Config.Listeners) != 1 {
		t.Errorf("%d listeners (-want +got):\n%s", len(out.Config.Listeners), diff)
	}
}

func TestAccessLogsOfTLSListeners(t *testing.T) {
	in := scene(func(l *lb.ZonalListener, _ *lb.ZonalGroup) {
		l.Protocol, l.Certificates, l.SSLPolicy = lb.TLS, []string{"gone", "www", "api"}, "ELBSecurityPolicy-TLS13-1-2-2021-06"
	})
	b := &in.Snapshot.LoadBalancers[0]
	plain := b.Listeners[0]
	plain.ARN, plain.Port, plain.Protocol = "plain", 81, lb.TCP // IPv6 clients come to its socket
	b.Listeners = append(b.Listeners, plain)
	b.AccessLog = &lb.AccessLog{Bucket: "logs", Prefix: "shop", Interval: 5 * time.Minute}
	in.AccessLogs = true
	for _, l := range userspace.Desired(in).Config.Listeners {
		want := &proxy.AccessLog{Bucket: "logs", Prefix: "shop", Interval: 5 * time.Minute}
		if l.Protocol == lb.TCP {
			want = nil
		}
		if diff := cmp.Diff(want, l.AccessLog); diff != "" {
			t.Errorf("access log of the %s listener (-want +got):\n%s", l.Protocol, diff)
		}
		if l.TLS == nil {
			continue
		}
		if diff := cmp.Diff([]string{"www", "api"}, l.TLS.CertificateARNs); diff != "" || l.ARN != "listener" {
			t.Errorf("certificates of %q (-want +got):\n%s", l.ARN, diff)
		}
	}
	in.AccessLogs = false
	problems := userspace.Desired(in).Problems
	if want := "access log of lb: this edge has nowhere to keep it"; len(problems) == 0 || problems[0] != want {
		t.Errorf("problems: %q, want %q", problems, want)
	}
}
