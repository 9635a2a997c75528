package acm

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/acm"
	"github.com/aws/aws-sdk-go-v2/service/acm/types"
	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-lb/fairlead/internal/apitest"
	"github.com/fairlead-lb/fairlead/internal/engine/sealed"
	"github.com/fairlead-lb/fairlead/internal/engine/state"
)

func TestTheLifeOfAnImportedCertificate(t *testing.T) {
	b, ctx := newBench(t), t.Context()
	ca := selfSigned(t, "ca")
	leaf := made(t, "www.example.com", ca)
	secret := keyPEM(t, leaf.key)
	imported := apitest.Must(b.ImportCertificate(ctx, &sdk.ImportCertificateInput{
		Certificate: leaf.pem(), PrivateKey: secret, CertificateChain: ca.pem(), Tags: []types.Tag{{Key: aws.String("team"), Value: aws.String("a")}},
	}))(t)
	arn := imported.CertificateArn
	d := apitest.Must(b.DescribeCertificate(ctx, &sdk.DescribeCertificateInput{CertificateArn: arn}))(t).Certificate
	got := []string{*d.DomainName, d.SubjectAlternativeNames[0], string(d.Type), string(d.Status), string(d.KeyAlgorithm), *d.SignatureAlgorithm, *d.Subject, *d.Issuer}
	if diff := cmp.Diff([]string{"www.example.com", "www.example.com", "IMPORTED", "ISSUED", "EC_prime256v1", "SHA256WITHECDSA", "CN=www.example.com", "ca"}, got); diff != "" {
		t.Errorf("description (-want +got):\n%s", diff)
	}
	if !d.NotAfter.Equal(leaf.cert.NotAfter) || d.ImportedAt == nil || d.IssuedAt != nil || len(d.DomainValidationOptions) > 0 {
		t.Errorf("times: not after %v, imported %v, issued %v", d.NotAfter, d.ImportedAt, d.IssuedAt)
	}
	pem := apitest.Must(b.GetCertificate(ctx, &sdk.GetCertificateInput{CertificateArn: arn}))(t)
	if *pem.Certificate+"\n" != string(leaf.pem()) || *pem.CertificateChain+"\n" != string(ca.pem()) {
		t.Error("GetCertificate does not return what was imported")
	}
	pair, err := b.service.KeyPair(b.db.Current(), *arn)
	if err != nil || len(pair.Certificate) != 2 {
		t.Errorf("KeyPair has %d certificates, %v", len(pair.Certificate), err)
	}
	if disk, err := os.ReadFile(b.path); err != nil || bytes.Contains(disk, secret[30:60]) || !bytes.Contains(disk, []byte("www.example.com")) {
		t.Errorf("the state on disk shows the key, or not the certificate (%v)", err)
	}

	again := selfSigned(t, "www.example.com")
	apitest.Must(b.ImportCertificate(ctx, &sdk.ImportCertificateInput{CertificateArn: arn, Certificate: again.pem(), PrivateKey: keyPEM(t, again.key)}))(t)
	if pem := apitest.Must(b.GetCertificate(ctx, &sdk.GetCertificateInput{CertificateArn: arn}))(t); *pem.Certificate+"\n" != string(again.pem()) || pem.CertificateChain != nil {
		t.Error("the second import did not replace the first")
	}
	tags := apitest.Must(b.ListTagsForCertificate(ctx, &sdk.ListTagsForCertificateInput{CertificateArn: arn}))(t).Tags
	if len(tags) != 1 || *tags[0].Value != "a" {
		t.Errorf("tags %v after a second import", tags)
	}

	b.users = []string{"arn:aws:elasticloadbalancing:us-west-2:000000000000:loadbalancer/net/web/1"}
	if _, err := b.DeleteCertificate(ctx, &sdk.DeleteCertificateInput{CertificateArn: arn}); apitest.Code(err) != "ResourceInUseException" {
		t.Errorf("delete in use: %v", err)
	}
	if d := apitest.Must(b.DescribeCertificate(ctx, &sdk.DescribeCertificateInput{CertificateArn: arn}))(t); !cmp.Equal(d.Certificate.InUseBy, b.users) {
		t.Errorf("in use by %v", d.Certificate.InUseBy)
	}
	b.users = nil
	apitest.Must(b.DeleteCertificate(ctx, &sdk.DeleteCertificateInput{CertificateArn: arn}))(t)
	_, err = b.DescribeCertificate(ctx, &sdk.DescribeCertificateInput{CertificateArn: arn})
	if _, typed := errors.AsType[*types.ResourceNotFoundException](err); !typed {
		t.Errorf("describe after delete: %v", err)
	}
	if n := state.TagSets.Len(b.db.Current()); n != 0 {
		t.Errorf("%d tag sets are left", n)
	}
}

func TestRequestedCertificatesAreIssuedAndTrusted(t *testing.T) {
	b, ctx := newBench(t), t.Context()
	in := &sdk.RequestCertificateInput{
		DomainName: aws.String("WWW.example.com"), SubjectAlternativeNames: []string{"*.example.org", "www.example.com"},
		ValidationMethod: types.ValidationMethodDns, KeyAlgorithm: types.KeyAlgorithmEcPrime256v1, IdempotencyToken: aws.String("once"),
	}
	arn := apitest.Must(b.RequestCertificate(ctx, in))(t).CertificateArn
	if again := apitest.Must(b.RequestCertificate(ctx, in))(t).CertificateArn; *again != *arn {
		t.Error("the same token made a second certificate")
	}
	if err := sdk.NewCertificateValidatedWaiter(b).Wait(ctx, &sdk.DescribeCertificateInput{CertificateArn: arn}, time.Second); err != nil {
		t.Errorf("the SDK's waiter: %v", err)
	}
	d := apitest.Must(b.DescribeCertificate(ctx, &sdk.DescribeCertificateInput{CertificateArn: arn}))(t).Certificate
	if diff := cmp.Diff([]string{"www.example.com", "*.example.org"}, d.SubjectAlternativeNames); diff != "" || d.Type != types.CertificateTypeAmazonIssued {
		t.Errorf("names of a certificate of type %s (-want +got):\n%s", d.Type, diff)
	}
	if r := d.DomainValidationOptions[1].ResourceRecord; r == nil || !strings.HasSuffix(*r.Name, ".example.org.") {
		t.Errorf("validation record %+v", r)
	}

	verify := func(at time.Time) {
		t.Helper()
		pair, err := b.service.KeyPair(b.db.Current(), *arn)
		if err != nil {
			t.Fatal(err)
		}
		out := apitest.Must(b.GetCertificate(ctx, &sdk.GetCertificateInput{CertificateArn: arn}))(t)
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM([]byte(*out.CertificateChain)) {
			t.Fatal("there is no authority to trust")
		}
		for _, name := range []string{"www.example.com", "any.example.org"} {
			if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name, CurrentTime: at}); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	verify(b.now)
	before := b.db.Current().Number()
	if err := b.service.Renew(); err != nil || b.db.Current().Number() != before {
		t.Errorf("a fresh certificate was renewed (%v)", err)
	}
	b.now = b.now.Add(validity - renewBefore + time.Hour)
	if err := b.service.Renew(); err != nil {
		t.Fatal(err)
	}
	verify(b.now.Add(renewBefore + 24*time.Hour))
}

func TestRSAIsTheDefaultAndListsNameKeyTypesToSeeOthers(t *testing.T) {
	b, ctx := newBench(t), t.Context()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []signer{sign(t, unsigned("rsa.example.com"), key, nil), selfSigned(t, "ec.example.com")} {
		apitest.Must(b.ImportCertificate(ctx, &sdk.ImportCertificateInput{Certificate: c.pem(), PrivateKey: keyPEM(t, c.key)}))(t)
	}
	list := func(in *sdk.ListCertificatesInput) string {
		t.Helper()
		var names []string
		for pages := sdk.NewListCertificatesPaginator(b, in); pages.HasMorePages(); {
			out := apitest.Must(pages.NextPage(ctx))(t)
			for _, c := range out.CertificateSummaryList {
				names = append(names, *c.DomainName)
			}
			if in.MaxItems != nil && len(out.CertificateSummaryList) > int(*in.MaxItems) {
				t.Errorf("a page of %d", len(out.CertificateSummaryList))
			}
		}
		if len(names) == 2 && names[0] > names[1] {
			names[0], names[1] = names[1], names[0]
		}
		return strings.Join(names, " ")
	}
	all := &types.Filters{KeyTypes: types.KeyAlgorithm("").Values()}
	for name, test := range map[string]struct {
		in   sdk.ListCertificatesInput
		want string
	}{
		"without key types":      {sdk.ListCertificatesInput{}, "rsa.example.com"},
		"with all key types":     {sdk.ListCertificatesInput{Includes: all}, "ec.example.com rsa.example.com"},
		"in pages":               {sdk.ListCertificatesInput{Includes: all, MaxItems: aws.Int32(1)}, "ec.example.com rsa.example.com"},
		"by a status":            {sdk.ListCertificatesInput{CertificateStatuses: []types.CertificateStatus{types.CertificateStatusExpired}}, ""},
		"by a usage":             {sdk.ListCertificatesInput{Includes: &types.Filters{KeyUsage: []types.KeyUsageName{types.KeyUsageNameCrlSigning}}}, ""},
		"by a usage that it has": {sdk.ListCertificatesInput{Includes: &types.Filters{KeyUsage: []types.KeyUsageName{types.KeyUsageNameDigitalSignature}}}, "rsa.example.com"},
	} {
		if got := list(&test.in); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

func TestEveryActionAsksForItsPermission(t *testing.T) {
	b, ctx := newBench(t), t.Context()
	leaf := selfSigned(t, "www.example.com")
	arn := apitest.Must(b.ImportCertificate(ctx, &sdk.ImportCertificateInput{Certificate: leaf.pem(), PrivateKey: keyPEM(t, leaf.key)}))(t).CertificateArn
	tags := []types.Tag{{Key: aws.String("k"), Value: aws.String("v")}}
	for action, call := range map[string]func() error{
		"ImportCertificate": func() error {
			return apitest.Err(b.ImportCertificate(ctx, &sdk.ImportCertificateInput{Certificate: leaf.pem(), PrivateKey: keyPEM(t, leaf.key)}))
		},
		"RequestCertificate": func() error {
			return apitest.Err(b.RequestCertificate(ctx, &sdk.RequestCertificateInput{DomainName: aws.String("a.example")}))
		},
		"DescribeCertificate": func() error {
			return apitest.Err(b.DescribeCertificate(ctx, &sdk.DescribeCertificateInput{CertificateArn: arn}))
		},
		"GetCertificate":   func() error { return apitest.Err(b.GetCertificate(ctx, &sdk.GetCertificateInput{CertificateArn: arn})) },
		"ListCertificates": func() error { return apitest.Err(b.ListCertificates(ctx, &sdk.ListCertificatesInput{})) },
		"DeleteCertificate": func() error {
			return apitest.Err(b.DeleteCertificate(ctx, &sdk.DeleteCertificateInput{CertificateArn: arn}))
		},
		"AddTagsToCertificate": func() error {
			return apitest.Err(b.AddTagsToCertificate(ctx, &sdk.AddTagsToCertificateInput{CertificateArn: arn, Tags: tags}))
		},
		"RemoveTagsFromCertificate": func() error {
			return apitest.Err(b.RemoveTagsFromCertificate(ctx, &sdk.RemoveTagsFromCertificateInput{CertificateArn: arn, Tags: tags}))
		},
		"ListTagsForCertificate": func() error {
			return apitest.Err(b.ListTagsForCertificate(ctx, &sdk.ListTagsForCertificateInput{CertificateArn: arn}))
		},
	} {
		b.judge.Deny("acm:" + action)
		before := b.db.Current().Number()
		if err := call(); apitest.Code(err) != "AccessDeniedException" {
			t.Errorf("%s: got %v", action, err)
		}
		if after := b.db.Current().Number(); after != before {
			t.Errorf("%s changed the state although it was denied", action)
		}
	}
}

func TestABoxIsCheckedAgainstTheState(t *testing.T) {
	b := newBench(t)
	if err := CheckBox(b.db.Current(), b.service.Box); err != nil {
		t.Errorf("an empty state: %v", err)
	}
	apitest.Must(b.RequestCertificate(t.Context(), &sdk.RequestCertificateInput{DomainName: aws.String("a.example"), KeyAlgorithm: types.KeyAlgorithmEcPrime256v1}))(t)
	other, err := sealed.New(bytes.Repeat([]byte{8}, 32))
	if err != nil {
		t.Fatal(err)
	}
	if err := CheckBox(b.db.Current(), b.service.Box); err != nil {
		t.Errorf("the right key: %v", err)
	}
	if err := CheckBox(b.db.Current(), other); !errors.Is(err, sealed.ErrUnreadable) {
		t.Errorf("another key: %v", err)
	}
}
