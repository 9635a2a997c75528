package userspace

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/proxy"
)

func (d *desire) classic(b *lb.ClassicBalancer) {
	log := d.accessLog(b.ARN, b.AccessLog)
	for i := range b.Listeners {
		l := &b.Listeners[i]
		name := fmt.Sprintf("listener %d of %s", l.Port, b.ARN)
		for _, vip := range d.addresses(b.IPv4) {
			out, err := d.classicListener(b, l, vip)
			if err != nil {
				d.problem("%s: %v", name, err)
				continue
			}
			out.AccessLog = log
			d.add(out, name)
		}
	}
}

func (d *desire) classicListener(b *lb.ClassicBalancer, l *lb.ClassicListener, vip netip.Addr) (proxy.Listener, error) {
	out := proxy.Listener{
		Balancer: b.ARN, Address: netip.AddrPortFrom(vip, l.Port), Protocol: l.Protocol,
		IdleTimeout: b.IdleTimeout, DesyncMode: b.DesyncMode,
	}
	d.admit(&out, b.Clients[l.Port])
	policies := named(b.Policies, l.Policies)
	if l.Protocol == lb.SSL || l.Protocol == lb.HTTPS {
		secure, err := d.classicTLS(l, policies)
		if err != nil {
			return out, err
		}
		out.TLS = secure
	}
	pool, err := d.classicPool(b, l)
	if err != nil {
		return out, err
	}
	pool.Cookie = cookie(policies)
	out.Forward = []proxy.Pool{pool}
	return out, nil
}

// named are the policies of some names, in the load balancer's order.
func named(all []lb.ClassicPolicy, names []string) []lb.ClassicPolicy {
	var found []lb.ClassicPolicy
	for _, p := range all {
		if slices.Contains(names, p.Name) {
			found = append(found, p)
		}
	}
	return found
}

// attribute is the first value of an attribute; empty when there is none.
func attribute(p lb.ClassicPolicy, name string) string {
	for _, a := range p.Attributes {
		if a.Name == name {
			return a.Value
		}
	}
	return ""
}

func (d *desire) classicTLS(l *lb.ClassicListener, policies []lb.ClassicPolicy) (*proxy.ServerTLS, error) {
	certificate, ok := d.in.Certificates[l.CertificateARN]
	if !ok {
		return nil, fmt.Errorf("the key of certificate %s is not here", l.CertificateARN)
	}
	i := slices.IndexFunc(policies, func(p lb.ClassicPolicy) bool { return p.Type == lb.SSLNegotiationPolicyType })
	if i < 0 {
		return nil, fmt.Errorf("no policy of type %s says which protocols and ciphers there are", lb.SSLNegotiationPolicyType)
	}
	policy, err := negotiation(policies[i])
	if err != nil {
		return nil, err
	}
	out := &proxy.ServerTLS{Policy: policy}
	out.Certificates = append(out.Certificates, certificate)
	return out, nil
}

// negotiation is what an SSL negotiation policy allows: what the predefined one
// does that it refers to, or what is on.
func negotiation(p lb.ClassicPolicy) (proxy.SecurityPolicy, error) {
	if name := attribute(p, lb.PolicyReference); name != "" {
		policy, _, err := proxy.PredefinedPolicy(name)
		return policy, err
	}
	var on []string
	for _, a := range p.Attributes {
		if a.Value == "true" {
			on = append(on, a.Name)
		}
	}
	return proxy.CustomPolicy(p.Name, on)
}

// cookie is the stickiness of a listener with these policies.
func cookie(policies []lb.ClassicPolicy) *proxy.Cookie {
	for _, p := range policies {
		switch p.Type {
		case lb.AppCookieStickinessPolicyType:
			return &proxy.Cookie{Application: attribute(p, lb.PolicyCookieName)}
		case lb.LBCookieStickinessPolicyType:
			seconds, _ := strconv.ParseInt(attribute(p, lb.PolicyCookieExpiration), 10, 64) // absent: the browser's session
			return &proxy.Cookie{Expiry: time.Duration(min(seconds, maxExpiry)) * time.Second}
		}
	}
	return nil
}

// maxExpiry keeps a cookie's expiry in seconds inside a time.Duration: 100 years.
const maxExpiry = 100 * 365 * 24 * 3600

func (d *desire) classicPool(b *lb.ClassicBalancer, l *lb.ClassicListener) (proxy.Pool, error) {
	pool := proxy.Pool{
		Key: fmt.Sprintf("%s:%d", b.ARN, l.InstancePort), Weight: 1, Protocol: l.InstanceProtocol,
		Balance: proxy.RoundRobin, DrainTermination: true, // forced, when connection draining is over
	}
	if l.Protocol == lb.HTTP || l.Protocol == lb.HTTPS {
		pool.Balance = proxy.LeastOutstanding
	}
	if !d.in.Ordinary.IsValid() {
		pool.Source4 = b.IPv4.Unmap()
	}
	if err := backend(&pool, b, l.InstancePort); err != nil {
		return pool, err
	}
	if g := d.groups[b.ARN]; g != nil {
		pool.Targets = d.instances(b, g, l.InstancePort)
	}
	return pool, nil
}

// instances are the registered instances at one of their ports. They never fail
// open: without a healthy one nobody is served.
func (d *desire) instances(b *lb.ClassicBalancer, g *lb.ZonalGroup, port uint16) []proxy.Target {
	var targets []proxy.Target
	for _, t := range g.Targets {
		if !t.Addr.IsValid() {
			continue
		}
		targets = append(targets, proxy.Target{
			ID: t.ID, Addr: netip.AddrPortFrom(t.Addr.Unmap(), port), DrainUntil: t.DrainUntil,
			Eligible: g.TakesNew(t, d.in.Health, false) && !slices.Contains(b.Unreachable[t.ID], port),
			Healthy:  true, // requests in flight to an unhealthy instance may finish
		})
	}
	slices.SortFunc(targets, compareTargets)
	return targets
}

// backend applies the policies that are in force towards an instance port.
func backend(pool *proxy.Pool, b *lb.ClassicBalancer, port uint16) error {
	i := slices.IndexFunc(b.Backends, func(k lb.ClassicBackend) bool { return k.InstancePort == port })
	if i < 0 {
		return nil
	}
	for _, p := range named(b.Policies, b.Backends[i].Policies) {
		switch p.Type {
		case lb.ProxyProtocolPolicyType:
			if attribute(p, lb.PolicyProxyProtocol) == "true" {
				pool.ProxyProtocol = proxy.ProxyV1
			}
		case lb.BackendServerAuthenticationPolicyType:
			var err error
			if pool.Authorities, err = authorities(b, p); err != nil {
				return err
			}
		}
	}
	return nil
}

// authorities are the public keys that instances may have.
func authorities(b *lb.ClassicBalancer, auth lb.ClassicPolicy) ([]*x509.Certificate, error) {
	var names []string
	for _, a := range auth.Attributes {
		if a.Name == lb.PolicyPublicKeyName {
			names = append(names, a.Value)
		}
	}
	var keys []*x509.Certificate
	for _, p := range named(b.Policies, names) {
		if p.Type != lb.PublicKeyPolicyType {
			continue
		}
		key, err := parsePublicKey(attribute(p, lb.PolicyPublicKey))
		if err != nil {
			return nil, fmt.Errorf("policy %s: %w", p.Name, err)
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("policy %s names no public key", auth.Name)
	}
	return keys, nil
}

// parsePublicKey reads a public key in PEM, or in the base64 between its lines,
// which is how AWS's guide has it.
func parsePublicKey(text string) (*x509.Certificate, error) {
	var der []byte
	if block, _ := pem.Decode([]byte(text)); block != nil {
		der = block.Bytes
	} else {
		var err error
		if der, err = base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), "")); err != nil {
			return nil, fmt.Errorf("read the public key: %w", err)
		}
	}
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, fmt.Errorf("read the public key: %w", err)
	}
	return &x509.Certificate{PublicKey: key, RawSubjectPublicKeyInfo: der}, nil
}
