package pki_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/netip"
	"testing"
	"time"

	"github.com/fairlead-lb/fairlead/internal/lab/pki"
)

func TestIssuedIdentitiesAreAcceptedForWhatTheyAreAndNothingElse(t *testing.T) {
	now := time.Now()
	made, err := pki.NewAuthority("lab", now)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := pki.Load(made.Identity)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.Certificate)
	leaf := func(s pki.Subject) *x509.Certificate {
		id, err := ca.Issue(s, now)
		if err != nil {
			t.Fatal(err)
		}
		pair, err := tls.X509KeyPair(id.Certificate, id.Key)
		if err != nil {
			t.Fatal(err)
		}
		return pair.Leaf
	}
	client := leaf(pki.Subject{Name: "system:node:node-1", Organizations: []string{"system:nodes"}})
	server := leaf(pki.Subject{Name: "api", DNSNames: []string{"kubernetes"}, IPs: []netip.Addr{netip.MustParseAddr("198.18.0.10"), netip.MustParseAddr("2001:db8::10")}})
	verify := func(c *x509.Certificate, name string, usage x509.ExtKeyUsage, at time.Time) bool {
		_, err := c.Verify(x509.VerifyOptions{Roots: roots, DNSName: name, KeyUsages: []x509.ExtKeyUsage{usage}, CurrentTime: at})
		return err == nil
	}
	for what, c := range map[string]struct{ got, want bool }{
		"a client as a client":          {verify(client, "", x509.ExtKeyUsageClientAuth, now), true},
		"a client as a server":          {verify(client, "", x509.ExtKeyUsageServerAuth, now), false},
		"a server by name":              {verify(server, "kubernetes", x509.ExtKeyUsageServerAuth, now), true},
		"a server by IPv4 address":      {verify(server, "198.18.0.10", x509.ExtKeyUsageServerAuth, now), true},
		"a server by IPv6 address":      {verify(server, "2001:db8::10", x509.ExtKeyUsageServerAuth, now), true},
		"a server by another's name":    {verify(server, "example.com", x509.ExtKeyUsageServerAuth, now), false},
		"a certificate that is too old": {verify(client, "", x509.ExtKeyUsageClientAuth, now.AddDate(2, 0, 0)), false},
	} {
		if c.got != c.want {
			t.Errorf("%s: accepted %v, want %v", what, c.got, c.want)
		}
	}
	if got, want := client.Subject.String(), "CN=system:node:node-1,O=system:nodes"; got != want {
		t.Errorf("subject: got %s, want %s", got, want)
	}
}
