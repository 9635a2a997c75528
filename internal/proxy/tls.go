package proxy

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
)

// serverConfig answers handshakes as a ServerTLS says.
func serverConfig(s ServerTLS, certs *certificates) *tls.Config {
	return &tls.Config{
		MinVersion: s.Policy.MinVersion, MaxVersion: s.Policy.MaxVersion, CipherSuites: s.Policy.CipherSuites,
		NextProtos: s.ALPN, GetCertificate: certs.choose,
	}
}

// certificates finds the certificate for a name that a client asks for.
type certificates struct {
	fallback *tls.Certificate
	byName   map[string][]*tls.Certificate // exact names and wildcards such as *.example.com, in lower case
	arns     map[*tls.Certificate]string   // of those that have one
}

// newCertificates indexes certificates, whose ARNs may be missing.
func newCertificates(all []tls.Certificate, arns []string) (*certificates, error) {
	if len(all) == 0 {
		return nil, errors.New("a TLS listener needs a certificate")
	}
	c := &certificates{byName: map[string][]*tls.Certificate{}, arns: map[*tls.Certificate]string{}}
	for i := range all {
		cert := all[i] // a copy: its Leaf may be set
		if cert.Leaf == nil {
			if len(cert.Certificate) == 0 {
				return nil, fmt.Errorf("certificate %d is empty", i+1)
			}
			leaf, err := x509.ParseCertificate(cert.Certificate[0])
			if err != nil {
				return nil, fmt.Errorf("parse certificate %d: %w", i+1, err)
			}
			cert.Leaf = leaf
		}
		if c.fallback == nil {
			c.fallback = &cert
		}
		if i < len(arns) {
			c.arns[&cert] = arns[i]
		}
		for _, name := range cert.Leaf.DNSNames {
			name = strings.ToLower(name)
			c.byName[name] = append(c.byName[name], &cert)
		}
	}
	return c, nil
}

// choose returns the first certificate that has the name and that the client
// can verify, one with the exact name before one with a wildcard, or the default.
func (c *certificates) choose(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	name := strings.ToLower(strings.TrimSuffix(hello.ServerName, "."))
	names := []string{name}
	if _, parent, ok := strings.Cut(name, "."); ok {
		names = append(names, "*."+parent)
	}
	for _, n := range names {
		for _, cert := range c.byName[n] {
			if hello.SupportsCertificate(cert) == nil {
				return cert, nil
			}
		}
	}
	return c.fallback, nil
}

// backend is how to speak TLS with a pool's targets.
type backend struct{ config *tls.Config }

// resumable is how many targets of a pool have a TLS session kept for them.
const resumable = 256

// newBackend follows the front's policy as AWS does: with TLS 1.3 there, targets
// are offered ELBSecurityPolicy-TLS13-1-0-2021-06, without it
// ELBSecurityPolicy-2016-08 (NLB user guide, TLS listeners, security policies).
func newBackend(pool *Pool, front *ServerTLS) *backend {
	name := "ELBSecurityPolicy-2016-08"
	if front != nil && front.Policy.MaxVersion == tls.VersionTLS13 {
		name = "ELBSecurityPolicy-TLS13-1-0-2021-06"
	}
	policy := mustPolicy(name)
	b := &backend{config: &tls.Config{
		MinVersion: policy.MinVersion, MaxVersion: policy.MaxVersion, CipherSuites: policy.CipherSuites,
		InsecureSkipVerify: true, // AWS trusts any certificate of a target, unless Authorities say otherwise
		ClientSessionCache: tls.NewLRUClientSessionCache(resumable),
	}}
	if pool.Authorities != nil {
		b.config.VerifyConnection = authenticated(pool.Authorities)
	}
	return b
}

var errUnknownKey = errors.New("the target's certificate has none of the public keys of the backend authentication policies")

// authenticated is Classic's backend authentication: the target's certificate
// has one of the public keys, whoever signed it.
func authenticated(authorities []*x509.Certificate) func(tls.ConnectionState) error {
	return func(state tls.ConnectionState) error {
		if len(state.PeerCertificates) == 0 {
			return errUnknownKey
		}
		key := state.PeerCertificates[0].RawSubjectPublicKeyInfo
		for _, a := range authorities {
			if bytes.Equal(a.RawSubjectPublicKeyInfo, key) {
				return nil
			}
		}
		return errUnknownKey
	}
}

// handshake speaks TLS over a new connection to a target.
func (b *backend) handshake(ctx context.Context, conn *net.TCPConn, alpn []string) (*tls.Conn, error) {
	config := b.config
	if len(alpn) > 0 {
		config = config.Clone() // shares the session cache
		config.NextProtos = alpn
	}
	c := tls.Client(newRawConn(conn), config)
	if err := c.HandshakeContext(ctx); err != nil {
		if errors.Is(err, io.EOF) {
			err = fmt.Errorf("the target closed the connection: %w", err)
		}
		return nil, err
	}
	return c, nil
}
