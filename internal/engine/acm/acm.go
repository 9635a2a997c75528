// Package acm is the use cases of the part of AWS Certificate Manager that load
// balancers and their clients need: to import certificates, to have them
// issued, to find them and to delete those that nobody uses.
//
// What RequestCertificate asks for is issued at once by an authority of the
// engine's own: who may call the API has proved enough. Its certificate, for
// clients to trust, is the chain that GetCertificate returns. Issued
// certificates are renewed with the same key well before they expire.
//
// Invariants: private keys are stored sealed and leave through KeyPair alone;
// no certificate that a listener uses is deleted; no action answers success
// before its effect is durable. Codes and messages are ACM's (API reference,
// JSON 1.1, CertificateManager).
package acm

import (
	"context"
	"crypto/tls"
	"fmt"
	"maps"
	"time"

	"github.com/google/uuid"

	"github.com/fairlead-lb/fairlead/internal/engine/sealed"
	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/store"
	"github.com/fairlead-lb/fairlead/internal/wire"
)

// Authorizer decides whether the caller in ctx may do something; the error is
// what the client gets.
type Authorizer interface {
	Authorize(ctx context.Context, action, resourceARN string, keys map[string][]string) error
}

// Config is what a Service stands on. All fields are required.
type Config struct {
	Region     string
	AccountID  string
	DB         state.DB
	Box        *sealed.Box
	Users      func(r store.Reader, arn string) []string // ARNs of the load balancers that use a certificate
	Authorizer Authorizer
	Now        func() time.Time
}

// Service answers the actions.
type Service struct{ Config }

// New returns the use cases over what c names.
func New(c Config) *Service { return &Service{c} }

// API is the service for wire.NewHandler.
func (s *Service) API() wire.API {
	return wire.API{
		Service: "acm", TargetPrefix: "CertificateManager",
		Actions: []wire.Action{
			wire.JSON("ImportCertificate", s.importCertificate),
			wire.JSON("RequestCertificate", s.requestCertificate),
			wire.JSON("DescribeCertificate", s.describeCertificate),
			wire.JSON("GetCertificate", s.getCertificate),
			wire.JSON("ListCertificates", s.listCertificates),
			wire.JSON("DeleteCertificate", s.deleteCertificate),
			wire.JSON("AddTagsToCertificate", s.addTags),
			wire.JSON("RemoveTagsFromCertificate", s.removeTags),
			wire.JSON("ListTagsForCertificate", s.listTags),
		},
	}
}

// Values of a certificate's Type and of its status: there is no other, because
// what is requested is issued at once.
const (
	imported = "IMPORTED"
	issued   = "AMAZON_ISSUED"
	status   = "ISSUED"
)

// maxCertificates bounds the state. AWS starts with 2,500.
const maxCertificates = 10_000

func (s *Service) newARN() string { return s.arn(uuid.NewString()) }

func (s *Service) arn(id string) string {
	return "arn:aws:acm:" + s.Region + ":" + s.AccountID + ":certificate/" + id
}

func (s *Service) allow(ctx context.Context, action, arn string, more map[string][]string) error {
	keys := map[string][]string{}
	for k, v := range state.Tags(s.DB.Current(), arn) {
		keys["aws:ResourceTag/"+k] = []string{v}
	}
	maps.Copy(keys, more)
	return s.Authorizer.Authorize(ctx, "acm:"+action, arn, keys)
}

// find returns the certificate of a request.
func (s *Service) find(r store.Reader, arn string) (state.Certificate, error) {
	if err := s.checkARN(arn); err != nil {
		return state.Certificate{}, err
	}
	c, ok := state.Certificates.Get(r, arn)
	if !ok {
		return c, wire.Errorf("ResourceNotFoundException", "Could not find certificate %s.", arn)
	}
	return c, nil
}

// KeyPair is a certificate with its chain and private key, ready to serve.
func (s *Service) KeyPair(r store.Reader, arn string) (tls.Certificate, error) {
	c, err := s.find(r, arn)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := s.Box.Open(c.SealedKey, c.ARN)
	if err != nil {
		return tls.Certificate{}, err
	}
	pair, err := tls.X509KeyPair([]byte(c.Body+c.Chain), key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("read certificate %s: %w", arn, err)
	}
	return pair, nil
}

// CheckBox tells whether the box opens what the state holds, by one example.
func CheckBox(r store.Reader, box *sealed.Box) error {
	for c := range state.Certificates.All(r) {
		_, err := box.Open(c.SealedKey, c.ARN)
		return err
	}
	for a := range state.CertificateAuthorities.All(r) {
		_, err := box.Open(a.SealedKey, a.Name)
		return err
	}
	return nil
}
