package oidc

import (
	"strings"
	"testing"
	"time"
)

func TestKeySetsThatAreRefused(t *testing.T) {
	for name, test := range map[string]struct{ set, want string }{
		"no JSON":             {"{", "parse"},
		"no keys":             {`{"keys":[]}`, "no RSA or P-256"},
		"keys of other kinds": {`{"keys":[{"kty":"oct","k":"AA"},{"kty":"EC","crv":"P-384"},{"kty":"RSA","use":"enc"}]}`, "no RSA or P-256"},
		"a short RSA key":     {`{"keys":[{"kty":"RSA","kid":"a","n":"AQAB","e":"AQAB"}]}`, "keys[0] (a)"},
		"a point off curve":   {`{"keys":[{"kty":"EC","crv":"P-256","x":"` + strings.Repeat("A", 43) + `","y":"` + strings.Repeat("A", 43) + `"}]}`, "keys[0]"},
	} {
		if _, err := ParseKeys([]byte(test.set)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want …%s…", name, err, test.want)
		}
	}
}

func FuzzVerify(f *testing.F) {
	keys, err := ParseKeys([]byte(`{"keys":[{"kty":"EC","crv":"P-256","kid":"e","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}`)) // RFC 7515, A.3
	if err != nil {
		f.Fatal(err)
	}
	p := Provider{Issuer: "https://x", Audiences: []string{"a"}, Keys: keys}
	f.Add("e30.e30.e30")
	f.Add("eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJodHRwczovL3giLCJzdWIiOiJzIiwiYXVkIjoiYSIsImV4cCI6OTk5OTk5OTk5OX0.AAAA")
	f.Fuzz(func(t *testing.T, token string) {
		_ = Issuer(token)
		if claims, err := p.Verify(token, time.Unix(0, 0)); err == nil {
			t.Errorf("a token that nobody signed says %+v", claims)
		}
	})
}
