package edgeapi

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/fairlead-lb/fairlead/internal/durable"
)

// Identity is what an edge needs to talk to the engine, in PEM.
type Identity struct {
	CA, Cert, Key []byte
}

// File names of an identity in a directory.
const (
	caFile   = "ca.crt"
	certFile = "edge.crt"
	keyFile  = "edge.key"

	// nextKeyFile is the key of an identity that is being written. The certificate
	// decides which of the two keys counts, so that a crash loses neither pair.
	nextKeyFile = "edge.key.next"
)

// Write puts the identity into dir as ca.crt, edge.crt and edge.key (mode 0600),
// creating dir when it is missing. An edge that reads the directory at any moment,
// or after a crash, finds either the identity before or this one.
func (id Identity) Write(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the identity's directory: %w", err)
	}
	if err := finish(dir); err != nil {
		return fmt.Errorf("finish the identity before: %w", err)
	}
	for _, f := range []struct {
		name string
		data []byte
		mode fs.FileMode
	}{{caFile, id.CA, 0o644}, {nextKeyFile, id.Key, 0o600}, {certFile, id.Cert, 0o644}} {
		if err := durable.WriteFile(filepath.Join(dir, f.name), f.data, f.mode); err != nil {
			return fmt.Errorf("write the identity: %w", err)
		}
	}
	return finish(dir)
}

// finish gives the next key its name when the certificate is its own already.
func finish(dir string) error {
	next := filepath.Join(dir, nextKeyFile)
	cert, err := os.ReadFile(filepath.Join(dir, certFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	key, keyErr := os.ReadFile(next)
	if errors.Is(keyErr, fs.ErrNotExist) {
		return nil
	}
	if err := errors.Join(err, keyErr); err != nil {
		return err
	}
	if _, err := tls.X509KeyPair(cert, key); err != nil {
		return nil //nolint:nilerr // of an attempt that got no further
	}
	return os.Rename(next, filepath.Join(dir, keyFile))
}

// ReadIdentity reads what Write wrote.
func ReadIdentity(dir string) (Identity, error) {
	var id Identity
	for _, f := range []struct {
		name string
		dst  *[]byte
	}{{caFile, &id.CA}, {certFile, &id.Cert}} {
		data, err := os.ReadFile(filepath.Join(dir, f.name))
		if err != nil {
			return Identity{}, fmt.Errorf("read the edge's identity: %w", err)
		}
		*f.dst = data
	}
	var problem error
	for _, name := range []string{nextKeyFile, keyFile} {
		key, err := os.ReadFile(filepath.Join(dir, name))
		if err == nil {
			_, err = tls.X509KeyPair(id.Cert, key)
		}
		if err == nil {
			id.Key = key
			return id, nil
		}
		problem = err // of the key that should be there
	}
	return Identity{}, fmt.Errorf("read the edge's identity: %s: %w", filepath.Join(dir, keyFile), problem)
}

// clientTLS is the edge's side of the connection.
func (id Identity) clientTLS() (*tls.Config, error) {
	pair, err := tls.X509KeyPair(id.Cert, id.Key)
	if err != nil {
		return nil, fmt.Errorf("parse the edge's certificate: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(id.CA) {
		return nil, fmt.Errorf("parse the edge's %s: it holds no certificate", caFile)
	}
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{pair},
		RootCAs:      roots,
		ServerName:   engineName,
	}, nil
}

// leaf parses the edge's certificate.
func (id Identity) leaf() (*x509.Certificate, error) {
	block, _ := pem.Decode(id.Cert)
	if block == nil {
		return nil, fmt.Errorf("parse the edge's %s: it holds no certificate", certFile)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("parse the edge's %s: %w", certFile, err)
	}
	return cert, nil
}

// renewAt is when a certificate is worth another one: with a third of its life
// left, so that an engine may be away for weeks.
func renewAt(cert *x509.Certificate) time.Time { return beforeEnd(cert, 3) }

// warnAt is when its end is worth a warning, because its renewal does not work.
func warnAt(cert *x509.Certificate) time.Time { return beforeEnd(cert, 6) }

// beforeEnd is when one of so many parts of a certificate's life is left.
func beforeEnd(cert *x509.Certificate, parts time.Duration) time.Time {
	return cert.NotAfter.Add(-cert.NotAfter.Sub(cert.NotBefore) / parts)
}
