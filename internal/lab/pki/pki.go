// Package pki is the lab's certificate authority: it makes the identities that
// the parts of the cluster show each other.
//
// All keys live and die with one lab on one machine; certificates are valid for
// a year, which no lab lasts.
package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"time"
)

const (
	validity = 365 * 24 * time.Hour
	backdate = time.Hour // clocks of one machine agree, but may be set back
)

// Identity is a certificate with its key.
type Identity struct {
	Certificate []byte // PEM
	Key         []byte // PEM
}

// Subject is what a certificate says about its holder. To Kubernetes the name
// is the user and the organizations are groups.
type Subject struct {
	Name          string
	Organizations []string
	DNSNames      []string // of a server
	IPs           []netip.Addr
}

// Authority issues certificates.
type Authority struct {
	Identity
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewAuthority makes a certificate authority.
func NewAuthority(name string, now time.Time) (*Authority, error) {
	key, err := newKey()
	if err != nil {
		return nil, fmt.Errorf("make certificate authority: %w", err)
	}
	template, err := template(pkix.Name{CommonName: name}, now)
	if err != nil {
		return nil, fmt.Errorf("make certificate authority: %w", err)
	}
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	id, err := sign(template, template, key, key)
	if err != nil {
		return nil, fmt.Errorf("make certificate authority: %w", err)
	}
	return parse(id)
}

// Load returns the authority that an identity of NewAuthority stands for.
func Load(id Identity) (*Authority, error) { return parse(id) }

func parse(id Identity) (*Authority, error) {
	certBlock, _ := pem.Decode(id.Certificate)
	keyBlock, _ := pem.Decode(id.Key)
	if certBlock == nil || keyBlock == nil {
		return nil, fmt.Errorf("read certificate authority: no PEM block")
	}
	cert, err := x509.ParseCertificate(certBlock.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read certificate authority: %w", err)
	}
	key, err := x509.ParseECPrivateKey(keyBlock.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read certificate authority: %w", err)
	}
	return &Authority{Identity: id, cert: cert, key: key}, nil
}

// Issue makes an identity. With names or addresses it is a server's and a
// client's, without it is a client's.
func (a *Authority) Issue(s Subject, now time.Time) (Identity, error) {
	key, err := newKey()
	if err != nil {
		return Identity{}, fmt.Errorf("issue certificate for %s: %w", s.Name, err)
	}
	template, err := template(pkix.Name{CommonName: s.Name, Organization: s.Organizations}, now)
	if err != nil {
		return Identity{}, fmt.Errorf("issue certificate for %s: %w", s.Name, err)
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if len(s.DNSNames)+len(s.IPs) > 0 {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	template.DNSNames = s.DNSNames
	for _, ip := range s.IPs {
		template.IPAddresses = append(template.IPAddresses, net.IP(ip.AsSlice()))
	}
	id, err := sign(template, a.cert, key, a.key)
	if err != nil {
		return Identity{}, fmt.Errorf("issue certificate for %s: %w", s.Name, err)
	}
	return id, nil
}

// NewKey makes a private key in PEM without a certificate.
func NewKey() ([]byte, error) {
	key, err := newKey()
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	return encodeKey(key)
}

func newKey() (*ecdsa.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

func template(name pkix.Name, now time.Time) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	return &x509.Certificate{
		SerialNumber: serial, Subject: name,
		NotBefore: now.Add(-backdate), NotAfter: now.Add(validity),
	}, nil
}

func sign(template, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) (Identity, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		return Identity{}, err
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return Identity{}, err
	}
	return Identity{Certificate: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), Key: keyPEM}, nil
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), nil
}
