package acm

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"path/filepath"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/acm"

	"github.com/fairlead-lb/fairlead/internal/apitest"
	"github.com/fairlead-lb/fairlead/internal/engine/sealed"
	"github.com/fairlead-lb/fairlead/internal/engine/state/statetest"
	"github.com/fairlead-lb/fairlead/internal/store"
)

// bench is an ACM endpoint with a real client.
type bench struct {
	*sdk.Client
	service *Service
	db      *store.Store
	path    string
	judge   *apitest.Judge
	now     time.Time
	users   []string
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{path: filepath.Join(t.TempDir(), "db"), judge: &apitest.Judge{}, now: time.Now()}
	b.db = statetest.Open(t, b.path)
	box, err := sealed.New(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	b.service = New(Config{
		Region: "us-west-2", AccountID: "000000000000", DB: b.db, Box: box, Authorizer: b.judge,
		Users: func(store.Reader, string) []string { return b.users }, Now: func() time.Time { return b.now },
	})
	b.Client = sdk.NewFromConfig(apitest.Serve(t, b.service.API()))
	return b
}

// signer is a certificate with its key.
type signer struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func (s signer) pem() []byte { return encode([]*x509.Certificate{s.cert}) }

// made is a certificate of an authority, with a key of its own.
func made(t *testing.T, name string, issuer signer) signer {
	t.Helper()
	c := unsigned(name)
	c.IsCA = false
	return sign(t, c, ecKey(t), &issuer)
}

// selfSigned is a certificate that its own key signed.
func selfSigned(t *testing.T, name string) signer {
	t.Helper()
	return sign(t, unsigned(name), ecKey(t), nil)
}

// unsigned is an authority's certificate before it is signed.
func unsigned(name string) *x509.Certificate {
	c := template(time.Now(), time.Hour)
	c.Subject, c.DNSNames = pkix.Name{CommonName: name}, []string{name}
	c.IsCA, c.KeyUsage = true, x509.KeyUsageCertSign|x509.KeyUsageDigitalSignature
	return c
}

// sign signs with the issuer's key, or with the certificate's own without one.
func sign(t *testing.T, c *x509.Certificate, key crypto.Signer, issuer *signer) signer {
	t.Helper()
	by := signer{c, key}
	if issuer != nil {
		by = *issuer
	}
	der, err := x509.CreateCertificate(rand.Reader, c, by.cert, key.Public(), by.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return signer{cert, key}
}

func ecKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func keyPEM(t *testing.T, key crypto.Signer) []byte {
	t.Helper()
	out, err := encodeKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
