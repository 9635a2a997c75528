package userspace_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-lb/fairlead/internal/edge/userspace"
	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/proxy"
)

func policy(name, kind string, attributes ...string) lb.ClassicPolicy {
	p := lb.ClassicPolicy{Name: name, Type: kind}
	for i := 0; i < len(attributes); i += 2 {
		p.Attributes = append(p.Attributes, lb.ClassicAttribute{Name: attributes[i], Value: attributes[i+1]})
	}
	return p
}

// publicKey makes the public key of a policy: DER in base64, and as PEM.
func publicKey(t *testing.T) (text, armoured string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(der), string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// classicScene is a Classic Load Balancer with one listener in front of two
// instances, i-1 in service and i-2 not.
func classicScene(edit func(*lb.ClassicBalancer)) userspace.Input {
	b := lb.ClassicBalancer{
		ARN: "lb", Name: "web", IPv4: vip4, IdleTimeout: time.Minute, DesyncMode: "defensive",
		Listeners: []lb.ClassicListener{{Port: 80, Protocol: lb.TCP, InstancePort: 30080, InstanceProtocol: lb.TCP}},
	}
	edit(&b)
	return userspace.Input{
		AccessLogs: true,
		Snapshot: lb.ZoneSnapshot{
			Classic: []lb.ClassicBalancer{b}, ClientSets: elsewhere,
			TargetGroups: []lb.ZonalGroup{{ARN: "lb", Targets: []lb.ZonalTarget{
				{ID: "i-1", Port: 10256, Addr: netip.MustParseAddr("198.18.16.16")}, {ID: "i-2", Port: 10256, Addr: netip.MustParseAddr("198.18.16.17")},
			}}},
		},
		Health:       lb.Health{{TargetGroupARN: "lb", ID: "i-1", Port: 10256}: lb.Healthy, {TargetGroupARN: "lb", ID: "i-2", Port: 10256}: lb.Unhealthy},
		Certificates: map[string]tls.Certificate{"www": {Certificate: [][]byte{[]byte("www")}}},
	}
}

func TestClassicLoadBalancers(t *testing.T) {
	i1, i2 := " i-1 198.18.16.16:30080 eligible=true healthy=true", " i-2 198.18.16.17:30080 eligible=false healthy=true"
	key, armoured := publicKey(t)
	secure := func(b *lb.ClassicBalancer, name string, p lb.ClassicPolicy) {
		b.Listeners[0].Protocol, b.Listeners[0].CertificateARN = lb.SSL, name
		b.Policies, b.Listeners[0].Policies = []lb.ClassicPolicy{p}, []string{p.Name}
	}
	tests := map[string]struct {
		edit func(*lb.ClassicBalancer)
		want []string
	}{
		"TCP goes to healthy instances alone": {
			edit: func(*lb.ClassicBalancer) {},
			want: []string{"TCP 198.18.16.100:80 -> TCP lb:30080 from=198.18.16.100", i1, i2},
		},
		"PROXY protocol, for a port of the instances": {
			edit: func(b *lb.ClassicBalancer) {
				b.Policies = []lb.ClassicPolicy{policy("proxy", "ProxyProtocolPolicyType", "ProxyProtocol", "true")}
				b.Backends = []lb.ClassicBackend{{InstancePort: 30080, Policies: []string{"proxy"}}}
			},
			want: []string{"TCP 198.18.16.100:80 -> TCP lb:30080 header from=198.18.16.100", i1, i2},
		},
		"SSL by a policy of AWS's": {
			edit: func(b *lb.ClassicBalancer) {
				secure(b, "www", policy("p", "SSLNegotiationPolicyType", "Reference-Security-Policy", "ELBSecurityPolicy-TLS-1-2-2017-01", "Protocol-TLSv1.2", "true"))
			},
			want: []string{"SSL 198.18.16.100:80 certificate=www policy=ELBSecurityPolicy-TLS-1-2-2017-01 alpn= -> TCP lb:30080 from=198.18.16.100", i1, i2},
		},
		"SSL by a policy of one's own": {
			edit: func(b *lb.ClassicBalancer) {
				secure(b, "www", policy("p", "SSLNegotiationPolicyType", "Protocol-TLSv1.2", "true", "AES128-SHA", "true", "Protocol-SSLv3", "false"))
			},
			want: []string{"SSL 198.18.16.100:80 certificate=www policy=p alpn= -> TCP lb:30080 from=198.18.16.100", i1, i2},
		},
		"SSL that cannot be served": {
			edit: func(b *lb.ClassicBalancer) {
				secure(b, "www", policy("p", "SSLNegotiationPolicyType", "Protocol-SSLv3", "true"))
			},
			want: []string{`listener 80 of lb: SSL negotiation policy "p": this load balancer cannot serve Protocol-SSLv3`},
		},
		"SSL without its key": {
			edit: func(b *lb.ClassicBalancer) { secure(b, "gone", policy("p", "SSLNegotiationPolicyType")) },
			want: []string{"listener 80 of lb: the key of certificate gone is not here"},
		},
		"SSL without a policy": {
			edit: func(b *lb.ClassicBalancer) { secure(b, "www", policy("p", "LBCookieStickinessPolicyType")) },
			want: []string{"listener 80 of lb: no policy of type SSLNegotiationPolicyType says which protocols and ciphers there are"},
		},
		"backend authentication": {
			edit: func(b *lb.ClassicBalancer) {
				b.Listeners[0].InstanceProtocol = lb.SSL
				b.Policies = []lb.ClassicPolicy{
					policy("auth", "BackendServerAuthenticationPolicyType", "PublicKeyPolicyName", "a", "PublicKeyPolicyName", "b"),
					policy("a", "PublicKeyPolicyType", "PublicKey", key), policy("b", "PublicKeyPolicyType", "PublicKey", armoured),
				}
				b.Backends = []lb.ClassicBackend{{InstancePort: 30080, Policies: []string{"auth"}}}
			},
			want: []string{"TCP 198.18.16.100:80 -> SSL lb:30080 from=198.18.16.100", i1, i2},
		},
		"backend authentication without a key": {
			edit: func(b *lb.ClassicBalancer) {
				b.Policies = []lb.ClassicPolicy{policy("auth", "BackendServerAuthenticationPolicyType", "PublicKeyPolicyName", "a")}
				b.Backends = []lb.ClassicBackend{{InstancePort: 30080, Policies: []string{"auth"}}}
			},
			want: []string{"listener 80 of lb: policy auth names no public key"},
		},
		"security groups": {
			edit: func(b *lb.ClassicBalancer) {
				b.Clients, b.Unreachable = map[uint16]string{80: "some"}, map[string][]uint16{"i-1": {30080}}
			},
			want: []string{"TCP 198.18.16.100:80 clients=[203.0.113.0/24] closed=false -> TCP lb:30080 from=198.18.16.100", " i-1 198.18.16.16:30080 eligible=false healthy=true", i2},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, words(userspace.Desired(classicScene(tc.edit)))); diff != "" {
				t.Errorf("served (-want +got):\n%s", diff)
			}
		})
	}
}

func TestHTTPListenersOfClassicLoadBalancers(t *testing.T) {
	in := classicScene(func(b *lb.ClassicBalancer) {
		b.AccessLog = &lb.AccessLog{Bucket: "logs", Prefix: "web", Interval: 5 * time.Minute}
		b.Policies = []lb.ClassicPolicy{policy("hour", "LBCookieStickinessPolicyType", "CookieExpirationPeriod", "3600"), policy("app", "AppCookieStickinessPolicyType", "CookieName", "id")}
		b.Listeners = []lb.ClassicListener{
			{Port: 80, Protocol: lb.HTTP, InstancePort: 30080, InstanceProtocol: lb.HTTP, Policies: []string{"hour"}},
			{Port: 81, Protocol: lb.HTTP, InstancePort: 30080, InstanceProtocol: lb.HTTP, Policies: []string{"app"}},
		}
	})
	out := userspace.Desired(in)
	var cookies []proxy.Cookie
	for _, l := range out.Config.Listeners {
		if l.DesyncMode != "defensive" || l.Forward[0].Balance != proxy.LeastOutstanding || l.IdleTimeout != time.Minute {
			t.Errorf("%s: desync mode %q, balance %d, idle timeout %v", l.Address, l.DesyncMode, l.Forward[0].Balance, l.IdleTimeout)
		}
		if diff := cmp.Diff(&proxy.AccessLog{Bucket: "logs", Prefix: "web", Interval: 5 * time.Minute}, l.AccessLog); diff != "" {
			t.Errorf("access log (-want +got):\n%s", diff)
		}
		cookies = append(cookies, *l.Forward[0].Cookie)
	}
	if diff := cmp.Diff([]proxy.Cookie{{Expiry: time.Hour}, {Application: "id"}}, cookies); diff != "" {
		t.Errorf("cookies (-want +got):\n%s", diff)
	}
	in.AccessLogs = false
	if diff := cmp.Diff([]string{"access log of lb: this edge has nowhere to keep it"}, userspace.Desired(in).Problems); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}
