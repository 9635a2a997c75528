package edge_test

import (
	"crypto/tls"
	"testing"

	"github.com/fairlead-lb/fairlead/internal/netlab"
)

// secured is a TLS connection with the target's greeting.
type secured struct {
	connection
	state tls.ConnectionState
}

// secure connects with TLS and a server name, and reads the target's greeting.
func (b *bench) secure(t *testing.T, ns, addr, name string, alpn []string) secured {
	t.Helper()
	conn, err := netlab.Dial(t.Context(), b.prefix+ns, "tcp", addr)
	if err != nil {
		t.Fatalf("%s to %s: %v", ns, addr, err)
	}
	t.Cleanup(func() { conn.Close() })
	client := tls.Client(conn, &tls.Config{ServerName: name, InsecureSkipVerify: true, NextProtos: alpn}) // the test looks at the certificate itself
	if err := client.HandshakeContext(t.Context()); err != nil {
		t.Fatalf("TLS of %s with %s: %v", ns, addr, err)
	}
	c, err := greeted(client)
	if err != nil {
		t.Fatalf("greeting through TLS at %s: %v", addr, err)
	}
	return secured{c, client.ConnectionState()}
}
