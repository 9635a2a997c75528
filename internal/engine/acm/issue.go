package acm

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"slices"
	"time"

	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/store"
	"github.com/fairlead-lb/fairlead/internal/wire"
)

// Lifetimes. Those of certificates are what clients accept of public ones.
const (
	authorityName     = "acm"
	authorityValidity = 20 * 365 * 24 * time.Hour
	validity          = 395 * 24 * time.Hour
	renewBefore       = 60 * 24 * time.Hour // ACM's managed renewal begins then
	clockSkew         = 5 * time.Minute     // how far behind clients' clocks may be
	idempotence       = time.Hour           // how long a token stands for its request
)

type requestInput struct {
	DomainName              string
	SubjectAlternativeNames []string
	ValidationMethod        string
	KeyAlgorithm            string
	IdempotencyToken        string
	CertificateAuthorityArn string
	Options                 *options
	Tags                    []tag
}

type options struct {
	CertificateTransparencyLoggingPreference string `json:",omitempty"`
	Export                                   string `json:",omitempty"`
}

func (s *Service) requestCertificate(ctx context.Context, in *requestInput) (*arnOutput, error) {
	if err := s.allow(ctx, "RequestCertificate", "*", requestTags(in.Tags)); err != nil {
		return nil, err
	}
	names, err := checkRequest(in)
	if err != nil {
		return nil, err
	}
	tags := map[string]string{}
	if err := merge(tags, in.Tags); err != nil {
		return nil, err
	}
	c, err := s.issue(in, names)
	if err != nil {
		return nil, err
	}
	err = s.DB.Update(func(tx *store.Tx) error {
		if old, ok := s.requestedBefore(tx, c); ok {
			c = old
			return nil
		}
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

func checkRequest(in *requestInput) ([]string, error) {
	switch {
	case in.CertificateAuthorityArn != "":
		return nil, wire.Errorf("InvalidArnException", "Private certificate authorities are not offered by this endpoint; leave CertificateAuthorityArn out to have the engine's own authority issue the certificate.")
	case in.ValidationMethod != "" && in.ValidationMethod != "DNS" && in.ValidationMethod != "EMAIL":
		return nil, wire.ValidationErrorf("1 validation error detected: Value '%s' at 'validationMethod' failed to satisfy constraint: Member must satisfy enum value set: [EMAIL, DNS]", in.ValidationMethod)
	case !slices.Contains([]string{"", "RSA_2048", "EC_prime256v1", "EC_secp384r1"}, in.KeyAlgorithm):
		return nil, wire.ValidationErrorf("Key algorithm '%s' is not supported for a requested certificate; it must be one of 'RSA_2048, EC_prime256v1, EC_secp384r1'", in.KeyAlgorithm)
	case in.Options != nil && in.Options.Export == "ENABLED":
		return nil, wire.ValidationErrorf("Exportable certificates are not offered by this endpoint.")
	}
	return checkNames(in.DomainName, in.SubjectAlternativeNames)
}

// requestedBefore finds what the same request made within the hour.
func (s *Service) requestedBefore(r store.Reader, c state.Certificate) (state.Certificate, bool) {
	if c.IdempotencyToken == "" {
		return c, false
	}
	for old := range state.Certificates.All(r) {
		if old.IdempotencyToken == c.IdempotencyToken && slices.Equal(old.AlternativeNames, c.AlternativeNames) && c.CreatedTime.Sub(old.CreatedTime) < idempotence {
			return old, true
		}
	}
	return c, false
}

// issue makes a key and has the authority sign it.
func (s *Service) issue(in *requestInput, names []string) (state.Certificate, error) {
	now := s.Now().UTC()
	c := state.Certificate{
		ARN: s.newARN(), DomainName: names[0], AlternativeNames: names, Type: issued, CreatedTime: now,
		ValidationMethod: in.ValidationMethod, IdempotencyToken: in.IdempotencyToken, Transparency: "ENABLED",
	}
	if c.ValidationMethod == "" {
		c.ValidationMethod = "EMAIL"
	}
	if in.Options != nil && in.Options.CertificateTransparencyLoggingPreference != "" {
		c.Transparency = in.Options.CertificateTransparencyLoggingPreference
	}
	key, err := newKey(in.KeyAlgorithm)
	if err != nil {
		return c, fmt.Errorf("make a key: %w", err)
	}
	c.KeyAlgorithm = keyAlgorithm(key.Public())
	keyPEM, err := encodeKey(key)
	if err != nil {
		return c, err
	}
	c.SealedKey = s.Box.Seal(keyPEM, c.ARN)
	return s.sign(c, key.Public(), now)
}

func newKey(algorithm string) (crypto.Signer, error) {
	switch algorithm {
	case "EC_prime256v1":
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "EC_secp384r1":
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	}
	return rsa.GenerateKey(rand.Reader, 2048)
}

func encodeKey(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode a private key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// sign has the authority certify a public key for c's names.
func (s *Service) sign(c state.Certificate, public crypto.PublicKey, now time.Time) (state.Certificate, error) {
	ca, caKey, err := s.authority()
	if err != nil {
		return c, err
	}
	template := template(now, validity)
	template.Subject, template.DNSNames = pkix.Name{CommonName: commonName(c.DomainName)}, c.AlternativeNames
	template.KeyUsage = x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	der, err := x509.CreateCertificate(rand.Reader, template, ca, public, caKey)
	if err != nil {
		return c, fmt.Errorf("issue a certificate for %s: %w", c.DomainName, err)
	}
	c.Body = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	c.Chain = string(encode([]*x509.Certificate{ca}))
	c.IssuedTime, c.NotAfter = now, template.NotAfter.UTC().Truncate(time.Second)
	return c, nil
}

// commonName leaves out what is too long for X.509: the names are in the
// subject's alternatives anyway.
func commonName(domain string) string {
	if len(domain) > 64 {
		return ""
	}
	return domain
}

func template(now time.Time, lasts time.Duration) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)) // crypto/rand never fails
	return &x509.Certificate{SerialNumber: serial, NotBefore: now.Add(-clockSkew), NotAfter: now.Add(lasts), BasicConstraintsValid: true}
}

// authority returns the certificate and key of the engine's authority, which is
// made when it is first needed.
func (s *Service) authority() (*x509.Certificate, crypto.Signer, error) {
	if a, ok := state.CertificateAuthorities.Get(s.DB.Current(), authorityName); ok {
		return s.openAuthority(a)
	}
	made, err := s.newAuthority()
	if err != nil {
		return nil, nil, err
	}
	err = s.DB.Update(func(tx *store.Tx) error {
		if a, ok := state.CertificateAuthorities.Get(tx, authorityName); ok { // another request was first
			made = a
			return nil
		}
		state.CertificateAuthorities.Put(tx, made)
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	return s.openAuthority(made)
}

func (s *Service) newAuthority() (state.CertificateAuthority, error) {
	failed := func(err error) (state.CertificateAuthority, error) {
		return state.CertificateAuthority{}, fmt.Errorf("make the certificate authority: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return failed(err)
	}
	t := template(s.Now(), authorityValidity)
	t.Subject = pkix.Name{Organization: []string{"Fairlead"}, CommonName: "Fairlead certificate authority " + s.AccountID}
	t.IsCA, t.MaxPathLenZero, t.KeyUsage = true, true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return failed(err)
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return failed(err)
	}
	return state.CertificateAuthority{
		Name: authorityName, SealedKey: s.Box.Seal(keyPEM, authorityName),
		Certificate: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
	}, nil
}

func (s *Service) openAuthority(a state.CertificateAuthority) (*x509.Certificate, crypto.Signer, error) {
	failed := func(err error) (*x509.Certificate, crypto.Signer, error) {
		return nil, nil, fmt.Errorf("open the certificate authority: %w", err)
	}
	certificates, err := parseCertificates("authority", []byte(a.Certificate))
	if err != nil {
		return failed(err)
	}
	keyPEM, err := s.Box.Open(a.SealedKey, a.Name)
	if err != nil {
		return failed(err)
	}
	block, _ := pem.Decode(keyPEM)
	if block == nil {
		return failed(fmt.Errorf("its key is not PEM"))
	}
	key, err := parseKeyDER(block.Bytes)
	if err != nil {
		return failed(err)
	}
	return certificates[0], key, nil
}

// Renew issues anew, with the same key, every certificate of the engine's
// authority that expires soon.
func (s *Service) Renew() error {
	now := s.Now().UTC()
	for c := range state.Certificates.All(s.DB.Current()) {
		if c.Type != issued || c.NotAfter.Sub(now) > renewBefore {
			continue
		}
		pair, err := s.KeyPair(s.DB.Current(), c.ARN)
		if err != nil {
			return fmt.Errorf("renew %s: %w", c.ARN, err)
		}
		renewed, err := s.sign(c, pair.PrivateKey.(crypto.Signer).Public(), now)
		if err != nil {
			return err
		}
		err = s.DB.Update(func(tx *store.Tx) error {
			if present, ok := state.Certificates.Get(tx, c.ARN); ok && present.Body == c.Body { // not deleted meanwhile
				state.Certificates.Put(tx, renewed)
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("renew %s: %w", c.ARN, err)
		}
	}
	return nil
}
