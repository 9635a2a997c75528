package engine

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/fairlead-lb/fairlead/internal/durable"
)

const (
	certificateFile     = "api.crt" // for clients, as AWS_CA_BUNDLE
	certificateKeyFile  = "api.key"
	certificateValidity = 10 * 365 * 24 * time.Hour
	renewBefore         = 30 * 24 * time.Hour
)

// ServerTLS serves a given certificate, both files in PEM.
func ServerTLS(certFile, keyFile string) (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("load the API's certificate: %w", err)
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}, nil
}

// GeneratedTLS serves a self-signed certificate for hosts, which it keeps in
// dir and makes anew when it is missing, near its end or lacks a host.
func GeneratedTLS(dir string, hosts []string) (*tls.Config, error) {
	certFile, keyFile := filepath.Join(dir, certificateFile), filepath.Join(dir, certificateKeyFile)
	config, err := ServerTLS(certFile, keyFile)
	if err == nil && covers(config.Certificates[0].Leaf, hosts) {
		return config, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the state directory: %w", err)
	}
	if err := generateCertificate(certFile, keyFile, hosts); err != nil {
		return nil, fmt.Errorf("generate the API's certificate: %w", err)
	}
	return ServerTLS(certFile, keyFile)
}

func covers(cert *x509.Certificate, hosts []string) bool {
	for _, host := range hosts {
		if cert.VerifyHostname(host) != nil {
			return false
		}
	}
	return time.Until(cert.NotAfter) > renewBefore
}

func generateCertificate(certFile, keyFile string, hosts []string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "Fairlead engine"},
		NotBefore: time.Now().Add(-5 * time.Minute), NotAfter: time.Now().Add(certificateValidity),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true, IsCA: true, // so that clients can trust it as a root
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	// The key first: a certificate without its key would stop every later start.
	if err := durable.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600); err != nil {
		return err
	}
	return durable.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644)
}
