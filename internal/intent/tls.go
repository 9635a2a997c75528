package intent

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/fairlead-lb/fairlead/internal/lb"
)

// tlsSettings are the annotations about listeners that end TLS.
type tlsSettings struct {
	certificates []string
	ports        []string // nil: every TCP port
	policy       string
	alpn         string
	backend      string
}

const (
	keyCertificates = prefixAWS + "ssl-cert"
	keySSLPorts     = prefixAWS + "ssl-ports"
	keyBackend      = prefixAWS + "backend-protocol"
)

func backendProtocol(s *settings) *string { return &s.tls.backend }

func tlsRows() []Annotation {
	return []Annotation{
		{Key: keyCertificates, Kinds: forBoth, Value: "ARNs of certificates; the first is the default, the others are chosen by server name; Classic: one", Default: "none: TLS passes through to the targets", Change: inPlace, Example: "arn:aws:acm:us-west-2:123456789012:certificate/shop",
			read: list(readCertificates)},
		{Key: keySSLPorts, Kinds: forBoth, Value: "numbers or names of the Service's TCP ports that end TLS, or *", Default: "*", Change: inPlace + "; established connections of the port may break", Example: "443",
			read: list(func(_ parser, s *settings, v []string) { s.tls.ports = v })},
		{Key: prefixAWS + "ssl-negotiation-policy", Kinds: forBoth, Value: "a security policy of ELB", Default: lb.DefaultSSLPolicy, Change: inPlace, Example: "ELBSecurityPolicy-TLS13-1-2-2021-06",
			read: byKind(readPolicy, readClassicPolicy)},
		{Key: keyBackend, Kinds: forBoth, Value: "ssl: the targets take TLS | tcp | http; Classic: https too", Default: "tcp", Change: newTargets + "; Classic: the listener is made anew", Example: "ssl",
			read: byKind(enum(backendProtocol, "ssl", "tcp", "http"), enum(backendProtocol, "ssl", "tcp", "http", "https"))},
		{Key: prefixAWS + "alpn-policy", Kinds: forNLB, Value: "None | HTTP1Only | HTTP2Only | HTTP2Optional | HTTP2Preferred", Default: "None", Change: inPlace, Example: "HTTP2Preferred",
			read: enum(func(s *settings) *string { return &s.tls.alpn }, lb.NoALPN, "HTTP1Only", "HTTP2Only", "HTTP2Optional", "HTTP2Preferred")},
	}
}

var certificateForm = regexp.MustCompile(`^arn:[a-z0-9-]+:(acm:[a-z0-9-]+|iam:):[0-9]{12}:(server-)?certificate/.+$`)

func readCertificates(p parser, s *settings, arns []string) {
	for _, arn := range arns {
		if !certificateForm.MatchString(arn) {
			p.bad(strconv.Quote(arn)+" is not the ARN of a certificate", "write it as arn:aws:acm:REGION:ACCOUNT:certificate/ID")
		}
	}
	s.tls.certificates = slices.Compact(arns)
}

func readPolicy(p parser, s *settings) {
	if !strings.HasPrefix(p.value, "ELBSecurityPolicy-") {
		p.bad("must be a security policy of ELB", "such as "+lb.DefaultSSLPolicy)
		return
	}
	s.tls.policy = p.value
}

// secure makes TLS ports of those that the annotations say.
func (b *builder) secure(ports []port) {
	t := b.set.tls
	if len(t.certificates) == 0 {
		for _, a := range tlsRows() {
			if v, given := b.svc.Annotations[a.Key]; given && a.Key != keyCertificates && a.Kinds.have(b.in.Type) && !b.speaksHTTP(a.Key) {
				b.warn(a.Key, v, "has no effect without a certificate", "set "+keyCertificates)
			}
		}
		return
	}
	all := t.ports == nil || slices.Contains(t.ports, "*")
	used := map[string]bool{"*": true}
	for i := range ports {
		p := &ports[i]
		named := slices.ContainsFunc(t.ports, func(s string) bool {
			match := s == strconv.Itoa(int(p.number)) || p.service.Name != "" && strings.EqualFold(s, p.service.Name)
			used[s] = used[s] || match
			return match
		})
		switch {
		case p.protocol == lb.TCP && (all || named):
			p.protocol = lb.TLS
		case named:
			b.fail(keySSLPorts, strconv.Itoa(int(p.number)), "TLS needs TCP, the port has "+string(p.protocol), "")
		}
	}
	for _, s := range t.ports {
		if !used[s] {
			b.fail(keySSLPorts, s, "the Service has no such port", "its ports are "+strings.Join(listenerKeys(ports), ", "))
		}
	}
}

// speaksHTTP says that an annotation makes a Classic Load Balancer speak HTTP,
// which needs no certificate.
func (b *builder) speaksHTTP(key string) bool {
	return key == keyBackend && b.classic() && b.set.tls.backend == "http"
}

// security is the TLS part of a listener. What the user does not say is said
// all the same, so that taking an annotation away takes its effect away.
func (b *builder) security(p port) lb.Security {
	if p.protocol != lb.TLS {
		return lb.Security{}
	}
	return lb.Security{
		Certificates: b.set.tls.certificates,
		SSLPolicy:    orDefault(b.set.tls.policy, lb.DefaultSSLPolicy),
		ALPNPolicy:   orDefault(b.set.tls.alpn, lb.NoALPN),
	}
}

// groupProtocol is what the targets of a port are spoken to in. A listener that
// ends TLS hands on plain TCP unless the targets take TLS themselves.
func (b *builder) groupProtocol(p port) lb.Protocol {
	if p.protocol == lb.TLS && b.set.tls.backend != "ssl" {
		return lb.TCP
	}
	return p.protocol
}
