package acm

import (
	"bytes"
	"cmp"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/store"
	"github.com/fairlead-lb/fairlead/internal/wire"
)

type importInput struct {
	CertificateArn   string
	Certificate      []byte
	PrivateKey       []byte
	CertificateChain []byte
	Tags             []tag
}

type arnOutput struct{ CertificateArn string }

func (s *Service) importCertificate(ctx context.Context, in *importInput) (*arnOutput, error) {
	arn := cmp.Or(in.CertificateArn, s.arn("*"))
	if err := s.allow(ctx, "ImportCertificate", arn, requestTags(in.Tags)); err != nil {
		return nil, err
	}
	material, err := parseMaterial(in, s.Now())
	if err != nil {
		return nil, err
	}
	tags := map[string]string{}
	if err := merge(tags, in.Tags); err != nil {
		return nil, err
	}
	if in.CertificateArn != "" {
		return s.importAgain(in, material)
	}
	c := material.record(s.newARN(), s.Now().UTC())
	c.CreatedTime = c.ImportedTime
	c.SealedKey = s.Box.Seal(material.key, c.ARN)
	err = s.DB.Update(func(tx *store.Tx) error {
		if err := checkCount(tx); err != nil {
			return err
		}
		state.Certificates.Put(tx, c)
		state.PutTags(tx, c.ARN, tags)
		return nil
	})
	if err != nil {
		return nil, err
	}
	wire.NoteResource(ctx, c.ARN)
	return &arnOutput{c.ARN}, nil
}

// importAgain replaces the material of an imported certificate under its ARN.
func (s *Service) importAgain(in *importInput, material material) (*arnOutput, error) {
	if len(in.Tags) > 0 {
		return nil, wire.Errorf("InvalidParameterException", "Tags cannot be given when a certificate is imported again; use AddTagsToCertificate.")
	}
	return &arnOutput{in.CertificateArn}, s.DB.Update(func(tx *store.Tx) error {
		old, err := s.find(tx, in.CertificateArn)
		switch {
		case err != nil:
			return err
		case old.Type != imported:
			return wire.Errorf("InvalidParameterException", "Certificate %s was not imported and cannot be replaced by an import.", old.ARN)
		}
		c := material.record(old.ARN, s.Now().UTC())
		c.CreatedTime = old.CreatedTime
		c.SealedKey = s.Box.Seal(material.key, c.ARN)
		state.Certificates.Put(tx, c)
		return nil
	})
}

func checkCount(r store.Reader) error {
	if state.Certificates.Len(r) >= maxCertificates {
		return wire.Errorf("LimitExceededException", "You have reached the maximum number of certificates, %d.", maxCertificates)
	}
	return nil
}

// material is what a certificate consists of, checked.
type material struct {
	leaf        *x509.Certificate
	body, chain []byte // PEM
	key         []byte // PEM
	algorithm   string
}

func (m material) record(arn string, now time.Time) state.Certificate {
	names := m.leaf.DNSNames
	domain := m.leaf.Subject.CommonName
	if domain == "" && len(names) > 0 {
		domain = names[0]
	}
	if len(names) == 0 && domain != "" {
		names = []string{domain}
	}
	return state.Certificate{
		ARN: arn, DomainName: domain, AlternativeNames: names, Type: imported, Body: string(m.body), Chain: string(m.chain),
		KeyAlgorithm: m.algorithm, NotAfter: m.leaf.NotAfter.UTC(), ImportedTime: now,
	}
}

// parseMaterial checks that the parts of an import belong together.
func parseMaterial(in *importInput, now time.Time) (material, error) {
	var m material
	body, err := parseCertificates("certificate", in.Certificate)
	switch {
	case err != nil:
		return m, err
	case len(body) != 1:
		return m, notValid("The certificate field contains %d certificates. You can specify only one certificate in this field.", len(body))
	}
	m.leaf, m.body = body[0], encode(body)
	if m.algorithm = keyAlgorithm(m.leaf.PublicKey); m.algorithm == "" {
		return m, notValid("The key of the certificate is of an algorithm or a length that is not supported.")
	}
	if now.Before(m.leaf.NotBefore) || now.After(m.leaf.NotAfter) {
		return m, notValid("The certificate is valid from %s to %s, not now.", m.leaf.NotBefore.UTC().Format(time.RFC3339), m.leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	if m.key, err = parseKey(in.PrivateKey, m.leaf.PublicKey); err != nil {
		return m, err
	}
	m.chain, err = parseChain(m.leaf, in.CertificateChain)
	return m, err
}

func notValid(format string, args ...any) error { return wire.ValidationErrorf(format, args...) }

// parseCertificates reads PEM. Whatever is not a certificate is refused.
func parseCertificates(field string, data []byte) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			break
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil || block.Type != "CERTIFICATE" {
			return nil, notValid("Could not parse the %s: %s.", field, cmp.Or(errorText(err), "it has a "+block.Type))
		}
		all, data = append(all, c), rest
	}
	if len(all) == 0 || len(bytes.TrimSpace(data)) > 0 {
		return nil, notValid("The %s field is not in PEM format.", field)
	}
	return all, nil
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return strings.TrimPrefix(err.Error(), "x509: ")
}

func encode(all []*x509.Certificate) []byte {
	var out []byte
	for _, c := range all {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return out
}

// parseChain wants each certificate to have signed the one before it.
func parseChain(leaf *x509.Certificate, data []byte) ([]byte, error) {
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, nil
	}
	chain, err := parseCertificates("certificate chain", data)
	if err != nil {
		return nil, err
	}
	for i, issuer := range chain {
		child := leaf
		if i > 0 {
			child = chain[i-1]
		}
		if child.CheckSignatureFrom(issuer) != nil {
			return nil, notValid("Could not validate the certificate with the certificate chain: %s did not sign %s.", issuer.Subject, child.Subject)
		}
	}
	return encode(chain), nil
}

// parseKey reads an unencrypted private key in any PEM form and returns it as
// PKCS #8, if it belongs to the public key.
func parseKey(data []byte, public crypto.PublicKey) ([]byte, error) {
	block, rest := pem.Decode(data)
	if block != nil && block.Type == "EC PARAMETERS" { // openssl ecparam writes them before the key
		block, _ = pem.Decode(rest)
	}
	if block == nil {
		return nil, notValid("The private key field is not in PEM format.")
	}
	if strings.Contains(block.Type, "ENCRYPTED") || block.Headers["DEK-Info"] != "" {
		return nil, notValid("The private key must not be encrypted with a passphrase.")
	}
	key, err := parseKeyDER(block.Bytes)
	if err != nil {
		return nil, notValid("The private key is not supported.")
	}
	own, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !own.Equal(public) {
		return nil, notValid("The private key does not match the public key of the certificate.")
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode a private key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func parseKeyDER(der []byte) (crypto.Signer, error) {
	if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return key, nil
	}
	if key, err := x509.ParseECPrivateKey(der); err == nil {
		return key, nil
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a key of type %T cannot sign", key)
	}
	return signer, nil
}

// keyAlgorithm is ACM's name of a key's algorithm; empty when it has none.
func keyAlgorithm(key crypto.PublicKey) string {
	switch k := key.(type) {
	case *rsa.PublicKey:
		if slices.Contains([]int{1024, 2048, 3072, 4096}, k.N.BitLen()) {
			return fmt.Sprintf("RSA_%d", k.N.BitLen())
		}
	case *ecdsa.PublicKey:
		return map[int]string{256: "EC_prime256v1", 384: "EC_secp384r1", 521: "EC_secp521r1"}[k.Curve.Params().BitSize]
	}
	return ""
}
