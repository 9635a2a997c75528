package edgeapi

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/fairlead-lb/fairlead/internal/durable"
)

const (
	authorityFile     = "edge-ca.pem" // key and certificate in one file: written whole or not at all
	authorityValidity = 20 * 365 * 24 * time.Hour

	// EdgeValidity is how long an edge's certificate lasts. An edge that is
	// connected renews its own long before; one that was away for longer needs
	// another from the operator.
	EdgeValidity = 90 * 24 * time.Hour

	// clockSkew is how far behind the engine's an edge's clock may be.
	clockSkew = 5 * time.Minute

	// engineName is the name in the engine's certificate. It is no host name, so
	// that the engine's address can change without new certificates.
	engineName = "engine.fairlead.internal"

	zoneURN = "fairlead:edge:" // the URI SAN of an edge is urn:fairlead:edge:ZONE
)

var zonePattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*$`)

func validZone(zone string) bool { return len(zone) <= 63 && zonePattern.MatchString(zone) }

// Authority issues the certificates of the engine and its edges, and knows which
// edges it trusts no longer.
type Authority struct {
	key     crypto.Signer
	cert    *x509.Certificate
	revoked *revocations
}

// OpenAuthority returns the authority whose key lies in dir and creates it, with
// mode 0600, when there is none yet.
func OpenAuthority(dir string) (*Authority, error) {
	a, err := ReadAuthority(dir)
	if !errors.Is(err, fs.ErrNotExist) {
		return a, err
	}
	if err := createAuthority(filepath.Join(dir, authorityFile)); err != nil {
		return nil, err
	}
	return ReadAuthority(dir)
}

// ReadAuthority returns the authority whose key lies in dir. It makes none.
func ReadAuthority(dir string) (*Authority, error) {
	path := filepath.Join(dir, authorityFile)
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the edge authority: %w", err)
	}
	a, err := parseAuthority(data)
	if err != nil {
		return nil, fmt.Errorf("read the edge authority %s: %w; restore it from a copy, or remove it and issue every edge an identity anew", path, err)
	}
	a.revoked, err = openRevocations(filepath.Join(dir, revokedDir))
	return a, err
}

func createAuthority(path string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("create the edge authority's key: %w", err)
	}
	template := certificate("Fairlead edge authority", authorityValidity)
	template.IsCA, template.BasicConstraintsValid, template.MaxPathLenZero = true, true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return fmt.Errorf("create the edge authority's certificate: %w", err)
	}
	data, err := encodeKey(key)
	if err != nil {
		return err
	}
	data = append(data, encodeCert(der)...)
	if err := durable.WriteFile(path, data, 0o600); err != nil {
		return fmt.Errorf("keep the edge authority: %w", err)
	}
	return nil
}

func parseAuthority(data []byte) (*Authority, error) {
	pair, err := tls.X509KeyPair(data, data)
	if err != nil {
		return nil, err
	}
	signer, ok := pair.PrivateKey.(crypto.Signer)
	if !ok || !pair.Leaf.IsCA {
		return nil, errors.New("it holds no certificate authority")
	}
	return &Authority{key: signer, cert: pair.Leaf}, nil
}

// Issue makes an identity for the edge of a zone, valid for EdgeValidity.
func (a *Authority) Issue(zone string) (Identity, error) { return a.issue(zone, EdgeValidity) }

func (a *Authority) issue(zone string, validity time.Duration) (Identity, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Identity{}, fmt.Errorf("make the key of edge %s: %w", zone, err)
	}
	id, err := a.certify(zone, key.Public(), validity)
	if err != nil {
		return Identity{}, err
	}
	id.Key, err = encodeKey(key)
	return id, err
}

// certify makes an identity, without its key, for the edge that holds it.
func (a *Authority) certify(zone string, key crypto.PublicKey, validity time.Duration) (Identity, error) {
	if !validZone(zone) {
		return Identity{}, fmt.Errorf("zone %q is no zone name: want one such as us-west-2a", zone)
	}
	template := certificate("Fairlead edge "+zone, validity)
	template.URIs = []*url.URL{{Scheme: "urn", Opaque: zoneURN + zone}}
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key, a.key)
	if err != nil {
		return Identity{}, fmt.Errorf("issue the identity of edge %s: %w", zone, err)
	}
	return Identity{CA: encodeCert(a.cert.Raw), Cert: encodeCert(der)}, nil
}

// serverTLS is the engine's side: a fresh certificate that lives as long as the
// authority, with a key that never leaves memory.
func (a *Authority) serverTLS() (*tls.Config, error) {
	template := certificate("Fairlead engine", time.Until(a.cert.NotAfter))
	template.DNSNames = []string{engineName}
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the engine's key: %w", err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return nil, fmt.Errorf("issue the engine's certificate: %w", err)
	}
	clients := x509.NewCertPool()
	clients.AddCert(a.cert)
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    clients,
	}, nil
}

// serialBits is how many bits of a serial number are random; those above tell
// when it was issued, in nanoseconds, because the certificate's own dates are too
// coarse to say whether it was issued before a revocation or after.
const serialBits = 64

func issuedAt(cert *x509.Certificate) time.Time {
	return time.Unix(0, new(big.Int).Rsh(cert.SerialNumber, serialBits).Int64())
}

func certificate(commonName string, validity time.Duration) *x509.Certificate {
	now := time.Now()
	serial := new(big.Int).Lsh(big.NewInt(now.UnixNano()), serialBits)
	random, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), serialBits)) // crypto/rand never fails
	return &x509.Certificate{
		SerialNumber: serial.Add(serial, random),
		Subject:      pkix.Name{CommonName: commonName},
		NotBefore:    now.Add(-clockSkew),
		NotAfter:     now.Add(validity),
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}
}

// zoneOf returns the zone that an edge's certificate names.
func zoneOf(cert *x509.Certificate) (string, error) {
	for _, uri := range cert.URIs {
		if uri.Scheme == "urn" && len(uri.Opaque) > len(zoneURN) && uri.Opaque[:len(zoneURN)] == zoneURN {
			return uri.Opaque[len(zoneURN):], nil
		}
	}
	return "", errors.New("the certificate names no zone")
}

func encodeCert(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode a private key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}
