package directory

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"

	"github.com/fairlead-lb/fairlead/internal/durable"
)

// Key is an access key.
type Key struct {
	AccessKeyID     string `json:"accessKeyId"`
	SecretAccessKey string `json:"secretAccessKey"`
}

// String and LogValue keep the secret out of messages and logs.
func (k Key) String() string { return k.AccessKeyID }

// LogValue implements slog.LogValuer.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.AccessKeyID) }

// LoadRootKey reads the root key of an engine. When the file does not exist a
// key is generated and written, for the owner's eyes only, and created is true:
// the one moment to show it to a person.
func LoadRootKey(path string) (key Key, created bool, err error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		key, err = generateRootKey(path)
		return key, err == nil, err
	}
	if err != nil {
		return Key{}, false, fmt.Errorf("read the root key: %w", err)
	}
	if err := json.Unmarshal(raw, &key); err != nil || key.AccessKeyID == "" || key.SecretAccessKey == "" {
		return Key{}, false, fmt.Errorf("the root key file %s is not {\"accessKeyId\": …, \"secretAccessKey\": …}; remove it to have a new key generated", path)
	}
	return key, false, nil
}

func generateRootKey(path string) (Key, error) {
	secret := make([]byte, 30) // 40 characters, as AWS's
	rand.Read(secret)          // never fails
	key := Key{AccessKeyID: "AKIA" + rand.Text()[:16], SecretAccessKey: base64.StdEncoding.EncodeToString(secret)}
	raw, err := json.MarshalIndent(key, "", "  ")
	if err != nil {
		return Key{}, err
	}
	if err := durable.WriteFile(path, append(raw, '\n'), 0o600); err != nil {
		return Key{}, fmt.Errorf("keep the root key: %w", err)
	}
	return key, nil
}
