// Package sealed keeps secrets unreadable at rest: what the engine stores of
// them is encrypted with a data key that lies in a file of its own, so that a
// copy of the state gives nothing away.
//
// Invariants: AES-256-GCM with a random nonce per sealing; every sealed value is
// bound to the name of what it belongs to, so that none can be put in another's
// place; the key never reaches a log.
package sealed

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/fairlead-lb/fairlead/internal/durable"
)

// ErrUnreadable is a value that this key did not seal under this name.
var ErrUnreadable = errors.New("it was sealed with another data key, or is damaged")

const keyBytes = 32 // AES-256

// Box seals and opens with one data key. It is safe for use from many goroutines.
type Box struct{ aead cipher.AEAD }

// file is the key's file.
type file struct {
	DataKey string `json:"dataKey"` // base64
}

// Open reads the data key. When the file does not exist a key is generated and
// written, readable by its owner alone, and created is true: nothing that was
// sealed before can be opened then.
func Open(path string) (box *Box, created bool, err error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		box, err = create(path)
		return box, err == nil, err
	}
	if err != nil {
		return nil, false, fmt.Errorf("read the data key: %w", err)
	}
	var f file
	if err := json.Unmarshal(raw, &f); err != nil {
		return nil, false, fmt.Errorf("the data key file %s is not JSON; restore it from where it was kept", path)
	}
	key, err := base64.StdEncoding.DecodeString(f.DataKey)
	if err != nil || len(key) != keyBytes {
		return nil, false, fmt.Errorf("the data key file %s holds no key of %d bytes in base64; restore it from where it was kept", path, keyBytes)
	}
	box, err = New(key)
	return box, false, err
}

func create(path string) (*Box, error) {
	key := make([]byte, keyBytes)
	rand.Read(key) // never fails
	raw, err := json.Marshal(file{base64.StdEncoding.EncodeToString(key)})
	if err != nil {
		return nil, err
	}
	if err := durable.WriteFile(path, append(raw, '\n'), 0o600); err != nil {
		return nil, fmt.Errorf("keep the data key: %w", err)
	}
	return New(key)
}

// New returns the box of a key of 32 bytes.
func New(key []byte) (*Box, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("use the data key: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("use the data key: %w", err)
	}
	return &Box{aead}, nil
}

// Seal encrypts a secret that belongs to name.
func (b *Box) Seal(secret []byte, name string) []byte {
	return b.aead.Seal(nil, nil, secret, []byte(name))
}

// Open decrypts what Seal returned for the same name, or fails with ErrUnreadable.
func (b *Box) Open(box []byte, name string) ([]byte, error) {
	secret, err := b.aead.Open(nil, nil, box, []byte(name))
	if err != nil {
		return nil, fmt.Errorf("open the secret of %s: %w", name, ErrUnreadable)
	}
	return secret, nil
}
