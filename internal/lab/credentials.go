package lab

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"fmt"

	"github.com/fairlead-lb/fairlead/internal/lab/component"
)

// newCredentials makes an access key of AWS's form: AKIA and 16 characters of
// base32, and a secret of 40 characters.
func newCredentials() (component.Credentials, error) {
	var id [10]byte
	var secret [30]byte
	for _, b := range [][]byte{id[:], secret[:]} {
		if _, err := rand.Read(b); err != nil {
			return component.Credentials{}, fmt.Errorf("make an access key: %w", err)
		}
	}
	return component.Credentials{
		AccessKeyID:     "AKIA" + base32.StdEncoding.EncodeToString(id[:]),
		SecretAccessKey: base64.RawStdEncoding.EncodeToString(secret[:]),
	}, nil
}
