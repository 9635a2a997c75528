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

	// EdgeValidity is how long an edge's certificate lasts.
	EdgeValidity = 365 * 24 * time.Hour

	// clockSkew is how far behind the engine's an edge's clock may be.
	clockSkew = 5 * time.Minute

	// engineName is the name in the engine's certificate. It is no host name, so
	// that the engine's address can change without new certificates.
	engineName = "engine.fairlead.internal"

	zoneURN = "fairlead:edge:" // the URI SAN of an edge is urn:fairlead:edge:ZONE
)

var zonePattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// Authority issues the certificates of the engine and its edges.
type Authority struct {
	key  crypto.Signer
	cert *x509.Certificate
}

// OpenAuthority returns the authority whose key lies in dir and creates it, with
// mode 0600, when there is none yet.
func OpenAuthority(dir string) (*Authority, error) {
	path := filepath.Join(dir, authorityFile)
	data, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return createAuthority(path)
	case err != nil:
		return nil, fmt.Errorf("read the edge authority: %w", err)
	}
	a, err := parseAuthority(data)
	if err != nil {
		return nil, fmt.Errorf("read the edge authority %s: %w", path, err)
	}
	return a, nil
}

func createAuthority(path string) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("create the edge authority's key: %w", err)
	}
	template := certificate("Fairlead edge authority", authorityValidity)
	template.IsCA, template.BasicConstraintsValid, template.MaxPathLenZero = true, true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("create the edge authority's certificate: %w", err)
	}
	data, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	data = append(data, encodeCert(der)...)
	if err := durable.WriteFile(path, data, 0o600); err != nil {
		return nil, fmt.Errorf("keep the edge authority: %w", err)
	}
	return parseAuthority(data)
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

// Identity is what an edge needs to talk to the engine, in PEM.
type Identity struct {
	CA, Cert, Key []byte
}

// File names of an identity in a directory.
const (
	caFile   = "ca.crt"
	certFile = "edge.crt"
	keyFile  = "edge.key"
)

// Issue makes an identity for the edge of a zone, valid for EdgeValidity.
func (a *Authority) Issue(zone string) (Identity, error) {
	if !zonePattern.MatchString(zone) {
		return Identity{}, fmt.Errorf("zone %q is no zone name: want one such as us-west-2a", zone)
	}
	template := certificate("Fairlead edge "+zone, EdgeValidity)
	template.URIs = []*url.URL{{Scheme: "urn", Opaque: zoneURN + zone}}
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	der, key, err := a.sign(template)
	if err != nil {
		return Identity{}, fmt.Errorf("issue the identity of edge %s: %w", zone, err)
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return Identity{}, err
	}
	return Identity{CA: encodeCert(a.cert.Raw), Cert: encodeCert(der), Key: keyPEM}, nil
}

// Write puts the identity into dir as ca.crt, edge.crt and edge.key (mode 0600),
// creating dir when it is missing.
func (id Identity) Write(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the identity's directory: %w", err)
	}
	for _, f := range []struct {
		name string
		data []byte
		mode fs.FileMode
	}{{keyFile, id.Key, 0o600}, {certFile, id.Cert, 0o644}, {caFile, id.CA, 0o644}} {
		if err := durable.WriteFile(filepath.Join(dir, f.name), f.data, f.mode); err != nil {
			return fmt.Errorf("write the identity: %w", err)
		}
	}
	return nil
}

// ReadIdentity reads what Write wrote.
func ReadIdentity(dir string) (Identity, error) {
	var id Identity
	for name, dst := range map[string]*[]byte{caFile: &id.CA, certFile: &id.Cert, keyFile: &id.Key} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return Identity{}, fmt.Errorf("read the edge's identity: %w", err)
		}
		*dst = data
	}
	return id, nil
}

// clientTLS is the edge's side of the connection.
func (id Identity) clientTLS() (*tls.Config, error) {
	pair, err := tls.X509KeyPair(id.Cert, id.Key)
	if err != nil {
		return nil, fmt.Errorf("parse the edge's certificate: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(id.CA) {
		return nil, fmt.Errorf("parse the edge's %s: it holds no certificate", caFile)
	}
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{pair},
		RootCAs:      roots,
		ServerName:   engineName,
	}, nil
}

// serverTLS is the engine's side: a fresh certificate that lives as long as the
// authority, with a key that never leaves memory.
func (a *Authority) serverTLS() (*tls.Config, error) {
	template := certificate("Fairlead engine", time.Until(a.cert.NotAfter))
	template.DNSNames = []string{engineName}
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	der, key, err := a.sign(template)
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

func (a *Authority) sign(template *x509.Certificate) (der []byte, key *ecdsa.PrivateKey, err error) {
	key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	der, err = x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	return der, key, err
}

func certificate(commonName string, validity time.Duration) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)) // crypto/rand never fails
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: serial,
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
