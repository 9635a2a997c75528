package sts

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/big"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/fairlead-lb/fairlead/internal/apitest"
	"github.com/fairlead-lb/fairlead/internal/cloud/plainbody"
	"github.com/fairlead-lb/fairlead/internal/engine/sealed"
	"github.com/fairlead-lb/fairlead/internal/iam/directory"
	"github.com/fairlead-lb/fairlead/internal/wire"
)

const (
	rootKey = "AKIAROOTROOTROOTROOT"
	annKey  = "AKIAFAIRLEADANN00001"
	bobKey  = "AKIAFAIRLEADBOB00001"
	secret  = "s"
	issuer  = "https://oidc.example.com/cluster"
	subject = "system:serviceaccount:kube-system:controller"
)

const iamFile = `
users:
- name: ann
  accessKeys: [{accessKeyId: AKIAFAIRLEADANN00001, secretAccessKey: s}]
- name: bob
  accessKeys: [{accessKeyId: AKIAFAIRLEADBOB00001, secretAccessKey: s}]
  policies:
  - name: assume
    document: {Version: 2012-10-17, Statement: {Effect: Allow, Action: "sts:AssumeRole", Resource: "*"}}
oidcProviders:
- {url: https://oidc.example.com/cluster, jwksFile: keys.json}
roles:
- name: named
  trust: {Version: 2012-10-17, Statement: {Effect: Allow, Principal: {AWS: "arn:aws:iam::000000000000:user/ann"}, Action: "sts:AssumeRole"}}
  policies: [{name: p, document: {Version: 2012-10-17, Statement: {Effect: Allow, Action: "ec2:Describe*", Resource: "*"}}}]
- name: account
  maxSessionDuration: 7200
  trust: {Version: 2012-10-17, Statement: {Effect: Allow, Principal: {AWS: "arn:aws:iam::000000000000:root"}, Action: "sts:AssumeRole", Condition: {StringEquals: {"sts:ExternalId": x}}}}
- name: web
  trust:
    Version: 2012-10-17
    Statement:
      Effect: Allow
      Principal: {Federated: "arn:aws:iam::000000000000:oidc-provider/oidc.example.com/cluster"}
      Action: sts:AssumeRoleWithWebIdentity
      Condition: {StringEquals: {"oidc.example.com/cluster:sub": "system:serviceaccount:kube-system:controller", "oidc.example.com/cluster:aud": sts.amazonaws.com}}
`

// bench is an STS endpoint with a clock that the test sets.
type bench struct {
	t       *testing.T
	url     string
	now     time.Time
	path    string
	service *Service
	rsa     *rsa.PrivateKey
	ec      *ecdsa.PrivateKey
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, now: time.Now(), path: filepath.Join(t.TempDir(), "iam.yaml")}
	b.writeKeys()
	if err := os.WriteFile(b.path, []byte(iamFile), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := directory.Open(directory.Config{
		Path: b.path, AccountID: "000000000000", Root: directory.Key{AccessKeyID: rootKey, SecretAccessKey: secret}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	box, err := sealed.New(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	clock := func() time.Time { return b.now }
	b.service = New(Config{AccountID: "000000000000", Directory: d, Box: box, Now: clock})
	server := httptest.NewServer(wire.NewHandler(wire.Config{
		APIs: []wire.API{b.service.API()}, Credentials: d, Sessions: b.service, Region: "us-west-2", Now: time.Now, Logger: slog.New(slog.DiscardHandler),
	}))
	t.Cleanup(server.Close)
	b.url = server.URL
	return b
}

func (b *bench) writeKeys() {
	b.t.Helper()
	var err error
	if b.rsa, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		b.t.Fatal(err)
	}
	if b.ec, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		b.t.Fatal(err)
	}
	point, err := b.ec.PublicKey.Bytes()
	if err != nil {
		b.t.Fatal(err)
	}
	enc := base64.RawURLEncoding.EncodeToString
	set := fmt.Sprintf(`{"keys":[{"kty":"RSA","kid":"r","use":"sig","n":%q,"e":"AQAB"},{"kty":"EC","kid":"e","crv":"P-256","x":%q,"y":%q},{"kty":"oct","kid":"o","k":"AA"}]}`,
		enc(b.rsa.N.Bytes()), enc(point[1:33]), enc(point[33:]))
	if err := os.WriteFile(filepath.Join(filepath.Dir(b.path), "keys.json"), []byte(set), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) client(c aws.Credentials) *sdk.Client {
	return sdk.NewFromConfig(aws.Config{
		Region: "us-west-2", BaseEndpoint: &b.url, HTTPClient: plainbody.Client(nil), Retryer: func() aws.Retryer { return aws.NopRetryer{} },
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return c, nil }),
	})
}

func (b *bench) as(key string) *sdk.Client {
	return b.client(aws.Credentials{AccessKeyID: key, SecretAccessKey: secret})
}

func arn(role string) *string { return aws.String("arn:aws:iam::000000000000:role/" + role) }

func TestGetCallerIdentity(t *testing.T) {
	b := newBench(t)
	for key, want := range map[string][2]string{
		rootKey: {"arn:aws:iam::000000000000:root", `^000000000000$`}, annKey: {"arn:aws:iam::000000000000:user/ann", `^AIDA[A-Z2-7]{17}$`},
	} {
		out, err := b.as(key).GetCallerIdentity(t.Context(), &sdk.GetCallerIdentityInput{})
		if err != nil {
			t.Fatal(err)
		}
		if *out.Account != "000000000000" || *out.Arn != want[0] || !regexp.MustCompile(want[1]).MatchString(*out.UserId) {
			t.Errorf("got account %s, ARN %s, user ID %s", *out.Account, *out.Arn, *out.UserId)
		}
	}
}

func TestASessionIsItsRoleUntilItEnds(t *testing.T) {
	b := newBench(t)
	b.now = time.Now().Add(-50 * time.Minute)
	out, err := b.as(annKey).AssumeRole(t.Context(), &sdk.AssumeRoleInput{RoleArn: arn("named"), RoleSessionName: aws.String("shift")})
	if err != nil {
		t.Fatal(err)
	}
	c := out.Credentials
	if !strings.HasPrefix(*c.AccessKeyId, "ASIA") || !c.Expiration.Equal(b.now.Add(time.Hour).Truncate(time.Second)) {
		t.Errorf("credentials %s until %v", *c.AccessKeyId, c.Expiration)
	}
	session := aws.Credentials{AccessKeyID: *c.AccessKeyId, SecretAccessKey: *c.SecretAccessKey, SessionToken: *c.SessionToken}
	who, err := b.client(session).GetCallerIdentity(t.Context(), &sdk.GetCallerIdentityInput{})
	if err != nil {
		t.Fatal(err)
	}
	if *who.Arn != "arn:aws:sts::000000000000:assumed-role/named/shift" || *who.UserId != *out.AssumedRoleUser.AssumedRoleId {
		t.Errorf("the session is %s, %s", *who.Arn, *who.UserId)
	}
	credential, ok := b.service.Session(*c.SessionToken)
	if !ok {
		t.Fatal("the token is not known")
	}
	ctx := wire.WithCaller(t.Context(), credential.Caller)
	if err := b.service.Directory.Authorize(ctx, "ec2:DescribeVpcs", "*", nil); err != nil {
		t.Errorf("what the role allows: %v", err)
	}
	if err := b.service.Directory.Authorize(ctx, "ec2:CreateVpc", "*", nil); err == nil {
		t.Error("what the role does not allow was allowed")
	}

	for name, test := range map[string]struct {
		edit func(*aws.Credentials)
		code string
	}{
		"without its token":       {func(c *aws.Credentials) { c.SessionToken = "" }, "InvalidClientTokenId"},
		"with another token":      {func(c *aws.Credentials) { c.SessionToken = "AAAA" }, "InvalidClientTokenId"},
		"with a changed token":    {func(c *aws.Credentials) { c.SessionToken = "A" + c.SessionToken[1:] + "A" }, "InvalidClientTokenId"},
		"with another secret":     {func(c *aws.Credentials) { c.SecretAccessKey = "x" }, "SignatureDoesNotMatch"},
		"with the key of another": {func(c *aws.Credentials) { c.AccessKeyID = annKey }, "InvalidClientTokenId"},
	} {
		wrong := session
		test.edit(&wrong)
		if _, err := b.client(wrong).GetCallerIdentity(t.Context(), &sdk.GetCallerIdentityInput{}); apitest.Code(err) != test.code {
			t.Errorf("%s: %v, want %s", name, err, test.code)
		}
	}
	b.now = time.Now().Add(-2 * time.Hour)
	old, err := b.as(annKey).AssumeRole(t.Context(), &sdk.AssumeRoleInput{RoleArn: arn("named"), RoleSessionName: aws.String("old")})
	if err != nil {
		t.Fatal(err)
	}
	expired := aws.Credentials{AccessKeyID: *old.Credentials.AccessKeyId, SecretAccessKey: *old.Credentials.SecretAccessKey, SessionToken: *old.Credentials.SessionToken}
	if _, err := b.client(expired).GetCallerIdentity(t.Context(), &sdk.GetCallerIdentityInput{}); apitest.Code(err) != "ExpiredToken" {
		t.Errorf("an expired session: %v", err)
	}
}

func TestWhoMayAssumeARole(t *testing.T) {
	b := newBench(t)
	for name, test := range map[string]struct {
		key, role string
		edit      func(*sdk.AssumeRoleInput)
		code      string
	}{
		"one who is named":                         {annKey, "named", nil, ""},
		"one who is not named":                     {bobKey, "named", nil, "AccessDenied"},
		"one of the account with a policy":         {bobKey, "account", func(in *sdk.AssumeRoleInput) { in.ExternalId = aws.String("x") }, ""},
		"one of the account without a policy":      {annKey, "account", func(in *sdk.AssumeRoleInput) { in.ExternalId = aws.String("x") }, "AccessDenied"},
		"one with the wrong external ID":           {bobKey, "account", func(in *sdk.AssumeRoleInput) { in.ExternalId = aws.String("y") }, "AccessDenied"},
		"root":                                     {rootKey, "named", nil, "AccessDenied"},
		"a role that does not exist":               {bobKey, "absent", nil, "AccessDenied"},
		"a role of web identities":                 {bobKey, "web", nil, "AccessDenied"},
		"for too short":                            {annKey, "named", func(in *sdk.AssumeRoleInput) { in.DurationSeconds = aws.Int32(60) }, "ValidationError"},
		"for longer than the role allows":          {annKey, "named", func(in *sdk.AssumeRoleInput) { in.DurationSeconds = aws.Int32(7200) }, "ValidationError"},
		"with a name that is not one":              {annKey, "named", func(in *sdk.AssumeRoleInput) { in.RoleSessionName = aws.String("a b") }, "ValidationError"},
		"with a session policy":                    {annKey, "named", func(in *sdk.AssumeRoleInput) { in.Policy = aws.String("{}") }, "ValidationError"},
		"for as long as a role that allows longer": {bobKey, "account", func(in *sdk.AssumeRoleInput) { in.ExternalId, in.DurationSeconds = aws.String("x"), aws.Int32(7200) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			in := &sdk.AssumeRoleInput{RoleArn: arn(test.role), RoleSessionName: aws.String("shift")}
			if test.edit != nil {
				test.edit(in)
			}
			_, err := b.as(test.key).AssumeRole(t.Context(), in)
			if (err == nil) != (test.code == "") || apitest.Code(err) != test.code {
				t.Errorf("got %v, want code %q", err, test.code)
			}
		})
	}
}

// token signs claims with the provider's RSA or EC key.
func (b *bench) token(alg, kid string, claims map[string]any) string {
	b.t.Helper()
	part := func(v any) string {
		raw, err := json.Marshal(v)
		if err != nil {
			b.t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(raw)
	}
	signed := part(map[string]string{"alg": alg, "kid": kid}) + "." + part(claims)
	hash := sha256.Sum256([]byte(signed))
	var signature []byte
	var err error
	switch alg {
	case "ES256":
		var r, s *big.Int
		if r, s, err = ecdsa.Sign(rand.Reader, b.ec, hash[:]); err == nil {
			signature = append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
		}
	case "RS256":
		signature, err = rsa.SignPKCS1v15(rand.Reader, b.rsa, crypto.SHA256, hash[:])
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func TestWebIdentities(t *testing.T) {
	b := newBench(t)
	now := b.now.Unix()
	claims := func(edit ...any) map[string]any {
		c := map[string]any{"iss": issuer, "sub": subject, "aud": []string{"sts.amazonaws.com"}, "exp": now + 600, "iat": now}
		for i := 0; i < len(edit); i += 2 {
			c[edit[i].(string)] = edit[i+1]
		}
		return c
	}
	good := b.token("ES256", "e", claims())
	for name, test := range map[string]struct{ token, role, code string }{
		"signed with RS256":              {b.token("RS256", "r", claims()), "web", ""},
		"signed with ES256":              {good, "web", ""},
		"with one audience as text":      {b.token("ES256", "e", claims("aud", "sts.amazonaws.com")), "web", ""},
		"of another subject":             {b.token("ES256", "e", claims("sub", "system:serviceaccount:default:x")), "web", "AccessDenied"},
		"for a role that trusts users":   {good, "named", "AccessDenied"},
		"for no role":                    {good, "absent", "AccessDenied"},
		"for another audience":           {b.token("ES256", "e", claims("aud", "other")), "web", "InvalidIdentityToken"},
		"of another issuer":              {b.token("ES256", "e", claims("iss", "https://evil.example")), "web", "InvalidIdentityToken"},
		"expired":                        {b.token("ES256", "e", claims("exp", now-1)), "web", "ExpiredTokenException"},
		"without an end":                 {b.token("ES256", "e", claims("exp", nil)), "web", "InvalidIdentityToken"},
		"not in force yet":               {b.token("ES256", "e", claims("nbf", now+600)), "web", "InvalidIdentityToken"},
		"signed by nobody":               {b.token("none", "", claims()), "web", "InvalidIdentityToken"},
		"signed with the key of another": {b.token("RS256", "e", claims()), "web", "InvalidIdentityToken"},
		"that was changed":               {strings.Replace(good, ".", ".e30", 1), "web", "InvalidIdentityToken"},
		"with its signature cut":         {good[:len(good)-4], "web", "InvalidIdentityToken"},
		"that is none":                   {"nonsense", "web", "InvalidIdentityToken"},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := b.client(aws.Credentials{}).AssumeRoleWithWebIdentity(t.Context(), &sdk.AssumeRoleWithWebIdentityInput{
				RoleArn: arn(test.role), RoleSessionName: aws.String("pod"), WebIdentityToken: &test.token,
			})
			if (err == nil) != (test.code == "") || apitest.Code(err) != test.code {
				t.Fatalf("got %v, want code %q", err, test.code)
			}
			if err != nil {
				return
			}
			c := out.Credentials
			who, err := b.client(aws.Credentials{AccessKeyID: *c.AccessKeyId, SecretAccessKey: *c.SecretAccessKey, SessionToken: *c.SessionToken}).
				GetCallerIdentity(t.Context(), &sdk.GetCallerIdentityInput{})
			if err != nil || *who.Arn != "arn:aws:sts::000000000000:assumed-role/web/pod" || *out.SubjectFromWebIdentityToken != subject {
				t.Errorf("the session is %v, %v", who, err)
			}
		})
	}
}
