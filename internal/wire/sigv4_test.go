package wire

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

var signedAt = time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)

const identityBody = "Action=GetCallerIdentity&Version=2011-06-15"

// identityHandler serves one STS action at a fixed time.
func identityHandler(keys Credentials, now time.Time) http.Handler {
	return NewHandler(Config{
		APIs: []API{{Service: "sts", Version: "2011-06-15", Actions: []Action{
			Query("GetCallerIdentity", func(ctx context.Context, _ *sts.GetCallerIdentityInput) (*sts.GetCallerIdentityOutput, error) {
				return &sts.GetCallerIdentityOutput{Arn: aws.String(CallerFrom(ctx).ARN)}, nil
			}),
		}}},
		Credentials: keys, Region: testRegion, Now: func() time.Time { return now }, Logger: discard,
	})
}

// signed returns a request signed by the SDK's signer.
func signed(t *testing.T, body string, token string) *http.Request {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "http://api.test:7440/base%20path?b=2&a=1&a=%2F", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("X-Odd", "  two   spaces ")
	hash := sha256.Sum256([]byte(body))
	key := aws.Credentials{AccessKeyID: testKeyID, SecretAccessKey: testSecret, SessionToken: token}
	if err := v4.NewSigner().SignHTTP(t.Context(), key, r, hex.EncodeToString(hash[:]), "sts", testRegion, signedAt); err != nil {
		t.Fatal(err)
	}
	return r
}

func answer(h http.Handler, r *http.Request) (int, string) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func TestASignatureIsValidAgainAndForFifteenMinutesEitherWay(t *testing.T) {
	for name, tc := range map[string]struct {
		now    time.Time
		status int
		text   string
	}{
		"at once":                  {signedAt, 200, testCaller.ARN},
		"in the same second again": {signedAt, 200, testCaller.ARN},
		"15 minutes later":         {signedAt.Add(15 * time.Minute), 200, testCaller.ARN},
		"15 minutes early":         {signedAt.Add(-15 * time.Minute), 200, testCaller.ARN},
		"later than that": {signedAt.Add(15*time.Minute + time.Second), 403,
			"Signature expired: 20260506T070809Z is now earlier than 20260506T070810Z (20260506T072310Z - 15 min.)"},
		"earlier than that": {signedAt.Add(-15*time.Minute - time.Second), 403,
			"Signature not yet current: 20260506T070809Z is still later than 20260506T070808Z (20260506T065308Z + 15 min.)"},
	} {
		t.Run(name, func(t *testing.T) {
			status, body := answer(identityHandler(testKeys{}, tc.now), signed(t, identityBody, ""))
			if status != tc.status || !strings.Contains(body, tc.text) {
				t.Errorf("got %d %s, want %d with %q", status, body, tc.status, tc.text)
			}
		})
	}
}

func TestAChangedRequestIsNotAccepted(t *testing.T) {
	replaceAuth := func(old, new string) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), old, new, 1))
		}
	}
	for name, tc := range map[string]struct {
		change func(*http.Request)
		status int
		want   string // code, then part of the message
	}{
		"another body": {func(r *http.Request) {
			r.Body = io.NopCloser(strings.NewReader(strings.Replace(identityBody, "2011", "2012", 1)))
		},
			403, "SignatureDoesNotMatch|" + signatureMismatch},
		"another method":        {func(r *http.Request) { r.Method = http.MethodPut }, 405, "MethodNotAllowed|POST"},
		"another host":          {func(r *http.Request) { r.Host = "evil.test:7440" }, 403, "SignatureDoesNotMatch|" + signatureMismatch},
		"another path":          {func(r *http.Request) { r.URL.Path, r.URL.RawPath = "/other", "" }, 403, "SignatureDoesNotMatch|" + signatureMismatch},
		"another query":         {func(r *http.Request) { r.URL.RawQuery = "a=1&b=2" }, 403, "SignatureDoesNotMatch|" + signatureMismatch},
		"another signed header": {func(r *http.Request) { r.Header.Set("X-Odd", "one") }, 403, "SignatureDoesNotMatch|" + signatureMismatch},
		"another length":        {func(r *http.Request) { r.ContentLength++ }, 403, "SignatureDoesNotMatch|" + signatureMismatch},
		"another second":        {func(r *http.Request) { r.Header.Set("X-Amz-Date", "20260506T070810Z") }, 403, "SignatureDoesNotMatch|" + signatureMismatch},
		"another day in the scope": {replaceAuth("/20260506/", "/20260505/"), 403,
			"SignatureDoesNotMatch|Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '20260505' != '20260506', from '20260506T070809Z'."},
		"another region":     {replaceAuth("/us-west-2/", "/us-east-1/"), 403, "SignatureDoesNotMatch|Credential should be scoped to a valid region"},
		"another service":    {replaceAuth("/sts/", "/monitoring/"), 400, "UnknownOperation|it offers sts"},
		"another terminator": {replaceAuth("/aws4_request", "/aws5_request"), 403, "SignatureDoesNotMatch|valid terminator: 'aws4_request', not 'aws5_request'"},
		"another key":        {replaceAuth(testKeyID, "AKIAUNKNOWN"), 403, "InvalidClientTokenId|The security token included in the request is invalid."},
		"another signature":  {replaceAuth("Signature=", "Signature=0"), 403, "SignatureDoesNotMatch|" + signatureMismatch},
		"a signature in capitals": {func(r *http.Request) {
			auth, sig, _ := strings.Cut(r.Header.Get("Authorization"), "Signature=")
			r.Header.Set("Authorization", auth+"Signature="+strings.ToUpper(sig))
		}, 403, "SignatureDoesNotMatch|" + signatureMismatch},
		"a header that was not signed, claimed to be": {replaceAuth("SignedHeaders=", "SignedHeaders=accept;"), 403, "SignatureDoesNotMatch|" + signatureMismatch},
		"host not signed":       {replaceAuth(";host;", ";"), 403, "SignatureDoesNotMatch|'Host' must be a 'SignedHeader' in the AWS Authorization."},
		"date not signed":       {replaceAuth(";x-amz-date", ""), 403, "SignatureDoesNotMatch|'X-Amz-Date' must be a 'SignedHeader' in the AWS Authorization."},
		"a session token added": {func(r *http.Request) { r.Header.Set("X-Amz-Security-Token", "t") }, 403, "SignatureDoesNotMatch|'X-Amz-Security-Token' must be a 'SignedHeader'"},
		"no signature":          {func(r *http.Request) { r.Header.Del("Authorization") }, 403, "MissingAuthenticationToken|Request is missing Authentication Token"},
		"a presigned URL": {func(r *http.Request) {
			r.Header.Del("Authorization")
			r.URL.RawQuery = "X-Amz-Algorithm=x&X-Amz-Signature=0"
		},
			400, "IncompleteSignature|Presigned URLs are not accepted here"},
		"no date":               {func(r *http.Request) { r.Header.Del("X-Amz-Date") }, 400, "IncompleteSignature|existence of either a 'X-Amz-Date' or a 'Date' header"},
		"a date that is none":   {func(r *http.Request) { r.Header.Set("X-Amz-Date", "today") }, 400, "IncompleteSignature|Date must be in ISO-8601 'basic format'. Got 'today'."},
		"another algorithm":     {replaceAuth("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1"), 400, "IncompleteSignature|Unsupported AWS 'algorithm': 'AWS4-HMAC-SHA1'."},
		"nothing but algorithm": {func(r *http.Request) { r.Header.Set("Authorization", "AWS4-HMAC-SHA256 a=b") }, 400, "IncompleteSignature|Authorization header requires 'Credential' parameter. Authorization header requires 'Signature' parameter. Authorization header requires 'SignedHeaders' parameter."},
		"a short credential":    {replaceAuth("/aws4_request", ""), 400, "IncompleteSignature|Credential must have exactly 5 slash-delimited elements"},
		"a part twice":          {replaceAuth("Signature=", "SignedHeaders=host, Signature="), 400, "IncompleteSignature|is not a key=value pair"},
	} {
		t.Run(name, func(t *testing.T) {
			r := signed(t, identityBody, "")
			tc.change(r)
			status, body := answer(identityHandler(testKeys{}, signedAt), r)
			code, message, _ := strings.Cut(tc.want, "|")
			if status != tc.status || !strings.Contains(body, "<Code>"+code+"</Code>") || !strings.Contains(body, escaped(message)) {
				t.Errorf("got %d %s\nwant %d, %s, %s", status, body, tc.status, code, message)
			}
			if strings.Contains(body, testSecret) {
				t.Error("the answer shows the secret key")
			}
		})
	}
}

func escaped(s string) string {
	var b bytes.Buffer
	encoder{buf: &b}.text(s)
	return b.String()
}

func TestUnsignedHeadersMayChange(t *testing.T) {
	r := signed(t, identityBody, "")
	r.Header.Set("User-Agent", "changed on the way")
	r.Header.Set("Via", "1.1 proxy")
	if status, body := answer(identityHandler(testKeys{}, signedAt), r); status != 200 {
		t.Errorf("got %d %s", status, body)
	}
}

// temporaryKeys is a key that works with its session token only.
type temporaryKeys struct{}

func (temporaryKeys) Credential(string) (Credential, bool) {
	return Credential{Caller: testCaller, SecretAccessKey: testSecret, SessionToken: "token"}, true
}

func TestSessionTokens(t *testing.T) {
	for name, tc := range map[string]struct {
		keys   Credentials
		token  string
		status int
	}{
		"a temporary key with its token":   {temporaryKeys{}, "token", 200},
		"a temporary key with another one": {temporaryKeys{}, "other", 403},
		"a temporary key without one":      {temporaryKeys{}, "", 403},
		"a lasting key with a token":       {testKeys{}, "token", 403},
	} {
		t.Run(name, func(t *testing.T) {
			status, body := answer(identityHandler(tc.keys, signedAt), signed(t, identityBody, tc.token))
			if status != tc.status {
				t.Errorf("got %d %s, want %d", status, body, tc.status)
			}
		})
	}
}

func FuzzParseAuthorization(f *testing.F) {
	f.Add("AWS4-HMAC-SHA256 Credential=K/20260506/us-west-2/sts/aws4_request, SignedHeaders=host;x-amz-date, Signature=00")
	f.Add("AWS4-HMAC-SHA256 Credential=a/b/c/d/e,SignedHeaders=;,Signature==")
	f.Add("")
	f.Fuzz(func(t *testing.T, header string) {
		a, err := parseAuthorization(header)
		if err != nil {
			if _, ok := errors.AsType[*Error](err); !ok {
				t.Errorf("error %T is not AWS's", err)
			}
			return
		}
		if a.accessKeyID == "" || a.signature == "" || len(a.signedHeaders) == 0 || strings.Count(a.scope(), "/") != 3 {
			t.Errorf("%q was accepted as %+v", header, a)
		}
		r := httptest.NewRequest(http.MethodPost, "http://api.test/", nil)
		r.Header.Set("X-Amz-Date", signedAt.Format(sigTimeFormat))
		if err := a.verify(r, nil, Credential{SecretAccessKey: testSecret}, expectation{[]string{testRegion}, "sts", signedAt}); err == nil {
			t.Errorf("%q was accepted as a signature", header)
		}
	})
}
