package edgeapi

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/fairlead-lb/fairlead/internal/mailbox"
)

// renewalRetry is how long after a request for a new certificate, or after the
// beginning of a session, the edge asks again: a clock that is wrong must not
// make it ask all the time.
const renewalRetry = time.Minute

// errRenewed ends a session whose edge has a new identity, so that it is proved
// while the one before would still serve.
var errRenewed = errors.New("the edge's identity was renewed")

// renewal gets the edge its next identity over the session that the present one
// opened. The key is made here and never leaves the edge.
type renewal struct {
	dir  string
	due  *time.Timer
	keys mailbox.Newest[*ecdsa.PrivateKey] // of the request under way
}

func newRenewal(dir string, cert *x509.Certificate, pause time.Duration) *renewal {
	due := time.NewTimer(max(time.Until(renewAt(cert)), pause))
	return &renewal{dir: dir, due: due, keys: mailbox.New[*ecdsa.PrivateKey]()}
}

// request makes a key and asks for its certificate. The zone stands in the
// certificate that the edge holds; the request names none.
func (r *renewal) request() (*renewalRequest, error) {
	r.due.Reset(renewalRetry)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the next key: %w", err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, fmt.Errorf("ask for a new certificate: %w", err)
	}
	r.keys.Put(key)
	return &renewalRequest{CSR: csr}, nil
}

// accept keeps what the engine issued for the last request.
func (r *renewal) accept(issued renewedIdentity) error {
	select {
	case key := <-r.keys.C:
		encoded, err := encodeKey(key)
		if err != nil {
			return err
		}
		id := Identity{CA: []byte(issued.CA), Cert: []byte(issued.Cert), Key: encoded}
		if _, err := id.clientTLS(); err != nil {
			return fmt.Errorf("the new identity is of no use: %w", err)
		}
		return id.Write(r.dir)
	default:
		return errors.New("the engine sent an identity that nobody asked for")
	}
}

// renew issues the certificate that follows on an edge's own.
func (a *Authority) renew(zone string, csr []byte) (Identity, error) {
	request, err := x509.ParseCertificateRequest(csr)
	if err == nil {
		err = request.CheckSignature()
	}
	if err != nil {
		return Identity{}, fmt.Errorf("the request for a new certificate: %w", err)
	}
	if key, ok := request.PublicKey.(*ecdsa.PublicKey); !ok || key.Curve != elliptic.P256() {
		return Identity{}, errors.New("the request for a new certificate: its key is none of P-256")
	}
	return a.certify(zone, request.PublicKey, EdgeValidity)
}
