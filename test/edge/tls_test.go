package edge_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"

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

// newCertificate makes a self-signed certificate for a name.
func newCertificate(t *testing.T, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<60))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// marshalKey is a certificate's key as PKCS #8.
func marshalKey(t *testing.T, c tls.Certificate) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func serverConfig(c tls.Certificate) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{c}}
}

// importCertificate imports a certificate, anew or under its ARN, and returns
// the ARN.
func (a *account) importCertificate(c tls.Certificate, arn string) string {
	a.t.Helper()
	dir := a.t.TempDir()
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			a.t.Fatal(err)
		}
		return "fileb://" + path
	}
	args := []string{"acm", "import-certificate", "--query", "CertificateArn",
		"--certificate", write("certificate", "CERTIFICATE", c.Certificate[0]), "--private-key", write("key", "PRIVATE KEY", marshalKey(a.t, c))}
	if arn != "" {
		args = append(args, "--certificate-arn", arn)
	}
	return a.aws(args...)
}

// lenient lets connections in that begin without a PROXY header, such as health
// checks.
func lenient(proxyproto.ConnPolicyOptions) (proxyproto.Policy, error) { return proxyproto.USE, nil }
