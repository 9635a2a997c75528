package engine

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"slices"

	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/store"
)

// keys are the opened certificates that edges serve.
type keys map[string]lb.Certificate // by ARN

// renewed forgets the certificates that differ between the publisher's revision
// and the next, and returns their ARNs.
func (p *publisher) renewed(next *store.Revision) []string {
	var arns []string
	for d := range state.Certificates.Diff(p.revision, next) {
		if d.Before != nil && d.After != nil && sameMaterial(*d.Before, *d.After) {
			continue
		}
		delete(p.keys, d.Key)
		arns = append(arns, d.Key)
	}
	return arns
}

// serving adds the zones to stale whose edges serve a certificate.
func (p *publisher) serving(certificate string, stale map[string]bool) {
	for _, arn := range certificateUsers(p.revision, certificate) {
		for zone, part := range p.parts[arn] {
			if slices.Contains(part.Certificates(), certificate) {
				stale[zone] = true
			}
		}
	}
}

func sameMaterial(a, b state.Certificate) bool {
	return a.Body == b.Body && a.Chain == b.Chain && bytes.Equal(a.SealedKey, b.SealedKey)
}

// certificates returns certificates with their keys, sorted. One that cannot be
// opened is left out: the edge serves the others and says what it lacks.
func (p *publisher) certificates(arns map[string]bool) []lb.Certificate {
	var all []lb.Certificate
	for _, arn := range slices.Sorted(maps.Keys(arns)) {
		c, opened := p.keys[arn]
		if !opened {
			var err error
			if c, err = p.certificate(p.revision, arn); err != nil {
				p.log.Error("a certificate does not reach the edges", "certificate", arn, "error", err)
				continue
			}
			p.keys[arn] = c
		}
		all = append(all, c)
	}
	return all
}

// openCertificate returns a certificate of ACM with its key.
func (e *Engine) openCertificate(r store.Reader, arn string) (lb.Certificate, error) {
	pair, err := e.certificates(e.db).KeyPair(r, arn)
	if err != nil {
		return lb.Certificate{}, err
	}
	return encodePair(arn, pair)
}

func encodePair(arn string, pair tls.Certificate) (lb.Certificate, error) {
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		return lb.Certificate{}, fmt.Errorf("encode the key of %s: %w", arn, err)
	}
	var chain []byte
	for _, der := range pair.Certificate {
		chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return lb.Certificate{ARN: arn, Chain: string(chain), PrivateKey: key}, nil
}
