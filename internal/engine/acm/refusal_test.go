package acm

import (
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/acm"
	"github.com/aws/aws-sdk-go-v2/service/acm/types"

	"github.com/fairlead-lb/fairlead/internal/apitest"
	"github.com/fairlead-lb/fairlead/internal/engine/state"
)

func TestRequestsThatAreRefused(t *testing.T) {
	b, ctx := newBench(t), t.Context()
	ca, other := selfSigned(t, "ca"), selfSigned(t, "other")
	leaf := made(t, "www.example.com", ca)
	key := keyPEM(t, leaf.key)
	old := unsigned("old")
	old.NotBefore, old.NotAfter = time.Unix(1, 0), time.Unix(2, 0)
	expired := sign(t, old, ecKey(t), nil)
	absent := aws.String("arn:aws:acm:us-west-2:000000000000:certificate/0")
	request := func(domain string, edit ...func(*sdk.RequestCertificateInput)) error {
		in := &sdk.RequestCertificateInput{DomainName: &domain}
		for _, e := range edit {
			e(in)
		}
		_, err := b.RequestCertificate(ctx, in)
		return err
	}
	imports := func(cert, key, chain []byte) error {
		_, err := b.ImportCertificate(ctx, &sdk.ImportCertificateInput{Certificate: cert, PrivateKey: key, CertificateChain: chain})
		return err
	}
	encrypted := pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte{1}})
	for name, test := range map[string]struct {
		err           error
		code, message string
	}{
		"a key of another certificate":   {imports(leaf.pem(), keyPEM(t, ca.key), nil), "ValidationException", "does not match"},
		"no certificate":                 {imports([]byte("x"), key, nil), "ValidationException", "certificate field is not in PEM"},
		"two certificates":               {imports(append(leaf.pem(), ca.pem()...), key, nil), "ValidationException", "only one certificate"},
		"a key where a certificate goes": {imports(key, key, nil), "ValidationException", "Could not parse"},
		"no key":                         {imports(leaf.pem(), []byte("x"), nil), "ValidationException", "private key field"},
		"an encrypted key":               {imports(leaf.pem(), encrypted, nil), "ValidationException", "passphrase"},
		"the chain of another":           {imports(leaf.pem(), key, other.pem()), "ValidationException", "did not sign"},
		"an expired certificate":         {imports(expired.pem(), keyPEM(t, expired.key), nil), "ValidationException", "not now"},
		"no domain name":                 {request("nodots"), "InvalidDomainValidationOptionsException", "nodots"},
		"an unknown method": {request("a.example", func(in *sdk.RequestCertificateInput) { in.ValidationMethod = "POST" }),
			"ValidationException", "validationMethod"},
		"an algorithm of imports alone": {request("a.example", func(in *sdk.RequestCertificateInput) { in.KeyAlgorithm = types.KeyAlgorithmRsa4096 }),
			"ValidationException", "RSA_4096"},
		"a private authority": {request("a.example", func(in *sdk.RequestCertificateInput) { in.CertificateAuthorityArn = absent }),
			"InvalidArnException", "not offered"},
		"too many names": {request("a.example", func(in *sdk.RequestCertificateInput) {
			in.SubjectAlternativeNames = strings.Split("b.x c.x d.x e.x f.x g.x h.x i.x j.x k.x", " ")
		}), "LimitExceededException", "domain names"},
		"an aws: tag": {request("a.example", func(in *sdk.RequestCertificateInput) { in.Tags = []types.Tag{{Key: aws.String("aws:x")}} }),
			"InvalidTagException", "aws:x"},
		"a bad ARN":             {apitest.Err(b.DescribeCertificate(ctx, &sdk.DescribeCertificateInput{CertificateArn: aws.String("nonsense-of-some-length")})), "InvalidArnException", "nonsense"},
		"an absent certificate": {apitest.Err(b.DeleteCertificate(ctx, &sdk.DeleteCertificateInput{CertificateArn: absent})), "ResourceNotFoundException", *absent},
		"tags on an absent certificate": {apitest.Err(b.AddTagsToCertificate(ctx, &sdk.AddTagsToCertificateInput{CertificateArn: absent, Tags: []types.Tag{{Key: aws.String("k")}}})),
			"ResourceNotFoundException", *absent},
	} {
		if apitest.Code(test.err) != test.code || !strings.Contains(test.err.Error(), test.message) {
			t.Errorf("%s: got %v, want %s with …%s…", name, test.err, test.code, test.message)
		}
	}
	if n := state.Certificates.Len(b.db.Current()); n != 0 {
		t.Errorf("refused requests left %d certificates", n)
	}
}
