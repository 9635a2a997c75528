package proxy

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"strings"
	"testing"
)

// FuzzServerName asks for certificates by whatever a client may send.
func FuzzServerName(f *testing.F) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	var all []tls.Certificate
	for _, names := range [][]string{{"default.example"}, {"a.example", "*.wild.example"}} {
		der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: names},
			&x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: names}, public, private)
		if err != nil {
			f.Fatal(err)
		}
		all = append(all, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private})
	}
	certs, err := newCertificates(all, nil)
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range []string{"", ".", "*", "*.wild.example", "x.wild.example", "A.EXAMPLE.", "wild.example", "..wild.example", "\x00.wild.example"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		hello := &tls.ClientHelloInfo{ServerName: name, SupportedVersions: []uint16{tls.VersionTLS13}, SignatureSchemes: []tls.SignatureScheme{tls.Ed25519}}
		got, err := certs.choose(hello)
		if err != nil || got == nil {
			t.Fatalf("no certificate: %v", err)
		}
		second := got.Leaf.DNSNames[0] == "a.example"
		if related := strings.Contains(strings.ToLower(name), "example"); second && !related {
			t.Errorf("%q gets the certificate of %v", name, got.Leaf.DNSNames)
		}
		if lower := strings.ToLower(name); !second && (lower == "a.example" || lower == "x.wild.example") {
			t.Errorf("%q gets the default certificate", name)
		}
	})
}
