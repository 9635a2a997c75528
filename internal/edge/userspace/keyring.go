package userspace

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/fairlead-lb/fairlead/internal/lb"
)

// Keyring holds the certificates of the last snapshot, parsed. Parsing costs
// more than all else that a snapshot does, so what has not changed stays.
type Keyring map[string]pair // by ARN

type pair struct {
	sum         [sha256.Size]byte // of what it was parsed from
	certificate tls.Certificate
}

// Replace makes the keyring hold the certificates of a snapshot, and returns
// them by ARN. The error joins those of certificates that are not right; the
// others are held nevertheless.
func (k Keyring) Replace(certificates []lb.Certificate) (map[string]tls.Certificate, error) {
	all, kept := make(map[string]tls.Certificate, len(certificates)), make(map[string]bool, len(certificates))
	var errs []error
	for _, c := range certificates {
		p, err := k.parse(c)
		if err != nil {
			errs = append(errs, fmt.Errorf("certificate %s: %w", c.ARN, err))
			continue
		}
		k[c.ARN], all[c.ARN], kept[c.ARN] = p, p.certificate, true
	}
	for arn := range k {
		if !kept[arn] {
			delete(k, arn)
		}
	}
	return all, errors.Join(errs...)
}

func (k Keyring) parse(c lb.Certificate) (pair, error) {
	sum := sha256.Sum256(append([]byte(c.Chain+"\x00"), c.PrivateKey...))
	if old, known := k[c.ARN]; known && old.sum == sum {
		return old, nil
	}
	key := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: c.PrivateKey})
	certificate, err := tls.X509KeyPair([]byte(c.Chain), key) // checks that they belong together
	if err != nil {
		return pair{}, err
	}
	return pair{sum, certificate}, nil
}
