package acm

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/store"
	"github.com/fairlead-lb/fairlead/internal/wire"
)

// epoch is a time as the JSON protocol writes it: seconds since 1970.
type epoch time.Time

// MarshalJSON implements json.Marshaler.
func (e epoch) MarshalJSON() ([]byte, error) {
	return strconv.AppendInt(nil, time.Time(e).Unix(), 10), nil
}

func at(t time.Time) *epoch {
	if t.IsZero() {
		return nil
	}
	e := epoch(t)
	return &e
}

type arnInput struct{ CertificateArn string }

type describeOutput struct{ Certificate detail }

// detail is a certificate in DescribeCertificate.
type detail struct {
	CertificateArn          string
	DomainName              string
	SubjectAlternativeNames []string
	DomainValidationOptions []validation `json:",omitempty"`
	Serial                  string
	Subject                 string
	Issuer                  string
	CreatedAt               *epoch
	IssuedAt                *epoch `json:",omitempty"`
	ImportedAt              *epoch `json:",omitempty"`
	Status                  string
	NotBefore               *epoch
	NotAfter                *epoch
	KeyAlgorithm            string
	SignatureAlgorithm      string
	InUseBy                 []string
	Type                    string
	KeyUsages               []usage
	ExtendedKeyUsages       []usage
	RenewalEligibility      string
	Options                 options
}

// validation says that a name was accepted. Clients that prove names by DNS read
// the record, so there is one.
type validation struct {
	DomainName       string
	ValidationDomain string
	ValidationStatus string
	ValidationMethod string
	ResourceRecord   *record `json:",omitempty"`
}

type record struct{ Name, Type, Value string }

type usage struct {
	Name string
	OID  string `json:",omitempty"`
}

func (s *Service) describeCertificate(ctx context.Context, in *arnInput) (*describeOutput, error) {
	c, err := s.read(ctx, "DescribeCertificate", in.CertificateArn)
	if err != nil {
		return nil, err
	}
	leaf, err := leafOf(c)
	if err != nil {
		return nil, err
	}
	return &describeOutput{detail{
		CertificateArn: c.ARN, DomainName: c.DomainName, SubjectAlternativeNames: c.AlternativeNames, DomainValidationOptions: validations(c),
		Serial: serial(leaf), Subject: leaf.Subject.String(), Issuer: issuer(leaf),
		CreatedAt: at(c.CreatedTime), IssuedAt: at(c.IssuedTime), ImportedAt: at(c.ImportedTime), Status: status,
		NotBefore: at(leaf.NotBefore), NotAfter: at(leaf.NotAfter), KeyAlgorithm: c.KeyAlgorithm, SignatureAlgorithm: signature(leaf),
		InUseBy: append([]string{}, s.Users(s.DB.Current(), c.ARN)...), Type: c.Type, KeyUsages: keyUsages(leaf), ExtendedKeyUsages: extendedUsages(leaf),
		RenewalEligibility: eligibility(c), Options: options{CertificateTransparencyLoggingPreference: c.Transparency, Export: "DISABLED"},
	}}, nil
}

// read authorises a read of one certificate and finds it.
func (s *Service) read(ctx context.Context, action, arn string) (state.Certificate, error) {
	if err := s.checkARN(arn); err != nil {
		return state.Certificate{}, err
	}
	if err := s.allow(ctx, action, arn, nil); err != nil {
		return state.Certificate{}, err
	}
	return s.find(s.DB.Current(), arn)
}

func leafOf(c state.Certificate) (*x509.Certificate, error) {
	block, _ := pem.Decode([]byte(c.Body))
	if block == nil {
		return nil, fmt.Errorf("read certificate %s: its body is not PEM", c.ARN)
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read certificate %s: %w", c.ARN, err)
	}
	return leaf, nil
}

func validations(c state.Certificate) []validation {
	if c.Type != issued {
		return nil
	}
	var all []validation
	for _, name := range c.AlternativeNames {
		domain := strings.TrimPrefix(name, "*.")
		v := validation{DomainName: name, ValidationDomain: domain, ValidationStatus: "SUCCESS", ValidationMethod: c.ValidationMethod}
		if c.ValidationMethod == "DNS" {
			sum := sha256.Sum256([]byte(domain))
			digits := hex.EncodeToString(sum[:])
			v.ResourceRecord = &record{"_" + digits[:32] + "." + domain + ".", "CNAME", "_" + digits[32:] + ".acm-validations.aws."}
		}
		all = append(all, v)
	}
	return all
}

// serial writes a serial number as bytes between colons.
func serial(leaf *x509.Certificate) string {
	digits := hex.EncodeToString(leaf.SerialNumber.Bytes())
	var parts []string
	for i := 0; i < len(digits); i += 2 {
		parts = append(parts, digits[i:i+2])
	}
	return strings.Join(parts, ":")
}

func issuer(leaf *x509.Certificate) string {
	if o := leaf.Issuer.Organization; len(o) > 0 {
		return o[0]
	}
	return leaf.Issuer.CommonName
}

// signature is ACM's name of a signature algorithm, such as SHA256WITHRSA.
func signature(leaf *x509.Certificate) string {
	hash, key, ok := strings.Cut(leaf.SignatureAlgorithm.String(), "-")
	if !ok || strings.HasSuffix(hash, "RSAPSS") {
		return leaf.SignatureAlgorithm.String()
	}
	if strings.HasPrefix(hash, "ECDSA") { // ECDSA-SHA256
		hash, key = key, hash
	}
	return strings.ToUpper(hash + "WITH" + key)
}

func eligibility(c state.Certificate) string {
	if c.Type == issued {
		return "ELIGIBLE"
	}
	return "INELIGIBLE"
}

// usageNames are ACM's, in order of the bits of X.509.
var usageNames = []string{
	"DIGITAL_SIGNATURE", "NON_REPUDIATION", "KEY_ENCIPHERMENT", "DATA_ENCIPHERMENT", "KEY_AGREEMENT",
	"CERTIFICATE_SIGNING", "CRL_SIGNING", "ENCIPHER_ONLY", "DECIPHER_ONLY",
}

func keyUsages(leaf *x509.Certificate) []usage {
	all := []usage{}
	for bit, name := range usageNames {
		if leaf.KeyUsage&(1<<bit) != 0 {
			all = append(all, usage{Name: name})
		}
	}
	return all
}

func extendedUsages(leaf *x509.Certificate) []usage {
	all := []usage{}
	for _, u := range leaf.ExtKeyUsage {
		switch u {
		case x509.ExtKeyUsageServerAuth:
			all = append(all, usage{"TLS_WEB_SERVER_AUTHENTICATION", "1.3.6.1.5.5.7.3.1"})
		case x509.ExtKeyUsageClientAuth:
			all = append(all, usage{"TLS_WEB_CLIENT_AUTHENTICATION", "1.3.6.1.5.5.7.3.2"})
		default:
			all = append(all, usage{Name: "CUSTOM"})
		}
	}
	return all
}

type getOutput struct {
	Certificate      string
	CertificateChain string `json:",omitempty"`
}

func (s *Service) getCertificate(ctx context.Context, in *arnInput) (*getOutput, error) {
	c, err := s.read(ctx, "GetCertificate", in.CertificateArn)
	if err != nil {
		return nil, err
	}
	return &getOutput{strings.TrimSuffix(c.Body, "\n"), strings.TrimSuffix(c.Chain, "\n")}, nil
}

type listInput struct {
	CertificateStatuses []string
	Includes            struct{ KeyTypes, KeyUsage, ExtendedKeyUsage []string }
	MaxItems            *int
	NextToken           string
	SortBy, SortOrder   string
}

type listOutput struct {
	CertificateSummaryList []summary
	NextToken              string `json:",omitempty"`
}

type summary struct {
	CertificateArn                       string
	DomainName                           string
	SubjectAlternativeNameSummaries      []string
	HasAdditionalSubjectAlternativeNames bool
	Status                               string
	Type                                 string
	KeyAlgorithm                         string
	KeyUsages                            []string
	ExtendedKeyUsages                    []string
	InUse                                bool
	RenewalEligibility                   string
	NotBefore                            *epoch
	NotAfter                             *epoch
	CreatedAt                            *epoch
	IssuedAt                             *epoch `json:",omitempty"`
	ImportedAt                           *epoch `json:",omitempty"`
}

// Page sizes of ListCertificates.
const (
	defaultItems = 1000
	maxItems     = 1000
)

// defaultKeyTypes are what ListCertificates returns unless key types are named
// (API reference, Filters).
var defaultKeyTypes = []string{"RSA_1024", "RSA_2048"}

func (s *Service) listCertificates(ctx context.Context, in *listInput) (*listOutput, error) {
	if err := s.Authorizer.Authorize(ctx, "acm:ListCertificates", "*", nil); err != nil {
		return nil, err
	}
	size, after, err := in.page()
	if err != nil {
		return nil, err
	}
	r := s.DB.Current()
	out := &listOutput{CertificateSummaryList: []summary{}}
	for c := range state.Certificates.From(r, after) {
		if c.ARN == after || !in.wants(c) {
			continue
		}
		entry, err := s.summary(r, c)
		if err != nil {
			return nil, err
		}
		if !within(in.Includes.KeyUsage, entry.KeyUsages) || !within(in.Includes.ExtendedKeyUsage, entry.ExtendedKeyUsages) {
			continue
		}
		if len(out.CertificateSummaryList) == size {
			last := out.CertificateSummaryList[size-1].CertificateArn
			out.NextToken = base64.RawURLEncoding.EncodeToString([]byte(last))
			break
		}
		out.CertificateSummaryList = append(out.CertificateSummaryList, entry)
	}
	if in.SortBy == "CREATED_AT" {
		slices.SortFunc(out.CertificateSummaryList, func(a, b summary) int {
			order := time.Time(*a.CreatedAt).Compare(time.Time(*b.CreatedAt))
			if in.SortOrder == "DESCENDING" {
				return -order
			}
			return order
		})
	}
	return out, nil
}

func (in *listInput) page() (size int, after string, err error) {
	size = defaultItems
	if in.MaxItems != nil {
		size = *in.MaxItems
	}
	switch {
	case size < 1 || size > maxItems:
		return 0, "", wire.ValidationErrorf("1 validation error detected: Value '%d' at 'maxItems' failed to satisfy constraint: Member must be between 1 and %d", size, maxItems)
	case (in.SortBy == "") != (in.SortOrder == ""):
		return 0, "", wire.Errorf("InvalidArgsException", "SortBy and SortOrder must be specified together.")
	}
	raw, err := base64.RawURLEncoding.DecodeString(in.NextToken)
	if err != nil {
		return 0, "", wire.Errorf("InvalidArgsException", "The next token is not valid.")
	}
	return size, string(raw), nil
}

func (in *listInput) wants(c state.Certificate) bool {
	types := in.Includes.KeyTypes
	if len(types) == 0 {
		types = defaultKeyTypes
	}
	return slices.Contains(types, c.KeyAlgorithm) && (len(in.CertificateStatuses) == 0 || slices.Contains(in.CertificateStatuses, status))
}

// within reports whether a filter is absent, ANY, or has one of the values.
func within(filter, values []string) bool {
	return len(filter) == 0 || slices.Contains(filter, "ANY") || slices.ContainsFunc(filter, func(f string) bool { return slices.Contains(values, f) })
}

func (s *Service) summary(r store.Reader, c state.Certificate) (summary, error) {
	leaf, err := leafOf(c)
	if err != nil {
		return summary{}, err
	}
	names := func(all []usage) []string {
		out := []string{}
		for _, u := range all {
			out = append(out, u.Name)
		}
		return out
	}
	return summary{
		CertificateArn: c.ARN, DomainName: c.DomainName, SubjectAlternativeNameSummaries: c.AlternativeNames, Status: status, Type: c.Type,
		KeyAlgorithm: c.KeyAlgorithm, KeyUsages: names(keyUsages(leaf)), ExtendedKeyUsages: names(extendedUsages(leaf)),
		InUse: len(s.Users(r, c.ARN)) > 0, RenewalEligibility: eligibility(c), NotBefore: at(leaf.NotBefore), NotAfter: at(leaf.NotAfter),
		CreatedAt: at(c.CreatedTime), IssuedAt: at(c.IssuedTime), ImportedAt: at(c.ImportedTime),
	}, nil
}
