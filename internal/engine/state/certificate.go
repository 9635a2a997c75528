package state

import (
	"time"

	"github.com/fairlead-lb/fairlead/internal/store"
)

// Certificate is a certificate of ACM. Its private key is sealed under its ARN.
type Certificate struct {
	ARN              string    `json:"arn"`
	DomainName       string    `json:"domainName"`
	AlternativeNames []string  `json:"alternativeNames,omitempty"` // the domain name first
	Type             string    `json:"type"`                       // IMPORTED or AMAZON_ISSUED
	Body             string    `json:"body"`                       // PEM, one certificate
	Chain            string    `json:"chain,omitempty"`            // PEM, the issuer first
	SealedKey        []byte    `json:"sealedKey"`
	KeyAlgorithm     string    `json:"keyAlgorithm"` // such as RSA_2048
	NotAfter         time.Time `json:"notAfter"`
	CreatedTime      time.Time `json:"createdTime"`
	IssuedTime       time.Time `json:"issuedTime,omitzero"`        // of AMAZON_ISSUED ones: first issue or last renewal
	ImportedTime     time.Time `json:"importedTime,omitzero"`      // of IMPORTED ones: the last import
	ValidationMethod string    `json:"validationMethod,omitempty"` // of AMAZON_ISSUED ones: DNS or EMAIL
	IdempotencyToken string    `json:"idempotencyToken,omitempty"` // of the request
	Transparency     string    `json:"transparencyLog,omitempty"`  // ENABLED or DISABLED
}

// CertificateAuthority is the authority that issues what RequestCertificate
// asks for. There is one; its private key is sealed under its name.
type CertificateAuthority struct {
	Name        string `json:"name"`
	Certificate string `json:"certificate"` // PEM
	SealedKey   []byte `json:"sealedKey"`
}

// Tables and indexes of certificates. Keys stand in the comments.
var (
	Certificates           = store.NewTable(schema, "certificates", func(c Certificate) string { return c.ARN })
	CertificateAuthorities = store.NewTable(schema, "certificateAuthorities", func(a CertificateAuthority) string { return a.Name })
	ListenersByCertificate = store.NewIndex(schema, Listeners, func(l Listener) []string { return l.Certificates }) // by ARN
)
