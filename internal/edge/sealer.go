package edge

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/fairlead-lb/fairlead/internal/edgeapi"
	"github.com/fairlead-lb/fairlead/internal/engine/sealed"
)

// sealingPurpose keeps the derived key apart from any other that may be made of
// the same secret (RFC 5869, info).
const sealingPurpose = "fairlead edge: private keys in the snapshot on disk"

// SealWithIdentity seals with a key that is derived (HKDF, SHA-256) from the
// private key of the identity in a directory: whoever has the state directory
// alone, such as a backup of it, has no key of a certificate.
func SealWithIdentity(dir string) Sealer {
	return func() (*sealed.Box, error) {
		id, err := edgeapi.ReadIdentity(dir)
		if err != nil {
			return nil, err
		}
		block, _ := pem.Decode(id.Key)
		if block == nil {
			return nil, errors.New("the edge's key is not in PEM")
		}
		key, err := hkdf.Key(sha256.New, block.Bytes, nil, sealingPurpose, 32)
		if err != nil {
			return nil, fmt.Errorf("derive the sealing key: %w", err)
		}
		return sealed.New(key)
	}
}
