// Package oidc verifies the tokens by which workloads prove who they are: JSON
// Web Tokens of OpenID Connect providers, such as Kubernetes' service account
// tokens, signed with RS256 or ES256 (RFC 7515, 7517, 7518, 7519).
//
// Invariants: pure, time is passed in; the algorithm is that of the key, never
// the token's choice alone; a token without an expiry is refused.
package oidc

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"
)

// Errors of Verify that a caller may want to tell apart.
var (
	ErrInvalid = errors.New("the token is not valid")
	ErrExpired = errors.New("the token has expired")
)

// maxTokenBytes bounds a token; AWS takes 20,000 characters.
const maxTokenBytes = 20_000

// clockSkew is how far ahead the provider's clock may be.
const clockSkew = time.Minute

// Provider is who signs tokens.
type Provider struct {
	Issuer    string   // the iss claim, a URL
	Audiences []string // one of them has to be in the aud claim
	Keys      []Key
}

// Key is a public key of a provider.
type Key struct {
	ID     string // kid; may be empty when there is one key
	Public crypto.PublicKey
}

// Claims are what a token says.
type Claims struct {
	Issuer   string
	Subject  string
	Audience []string
	Expires  time.Time
}

// ParseKeys reads a JSON Web Key Set. Keys of other kinds than RSA and P-256, or
// for encryption, are left out; a set without any other is an error.
func ParseKeys(data []byte) ([]Key, error) {
	var set struct {
		Keys []struct {
			Kty, Kid, Use, Crv, N, E, X, Y string
		} `json:"keys"`
	}
	if err := json.Unmarshal(data, &set); err != nil {
		return nil, fmt.Errorf("parse the key set: %w", err)
	}
	var keys []Key
	for i, k := range set.Keys {
		var public crypto.PublicKey
		var err error
		switch {
		case k.Use != "" && k.Use != "sig":
			continue
		case k.Kty == "RSA":
			public, err = rsaKey(k.N, k.E)
		case k.Kty == "EC" && k.Crv == "P-256":
			public, err = ecKey(k.X, k.Y)
		default:
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("keys[%d] (%s): %w", i, k.Kid, err)
		}
		keys = append(keys, Key{k.Kid, public})
	}
	if len(keys) == 0 {
		return nil, errors.New("the key set has no RSA or P-256 key for signatures")
	}
	return keys, nil
}

func rsaKey(n, e string) (*rsa.PublicKey, error) {
	modulus, err1 := base64.RawURLEncoding.DecodeString(n)
	exponent, err2 := base64.RawURLEncoding.DecodeString(e)
	if err1 != nil || err2 != nil || len(modulus) < 2048/8 || len(modulus) > 8192/8 || len(exponent) == 0 || len(exponent) > 4 {
		return nil, errors.New("n and e are no RSA key of 2048 to 8192 bits")
	}
	key := &rsa.PublicKey{N: new(big.Int).SetBytes(modulus), E: int(new(big.Int).SetBytes(exponent).Int64())}
	if key.E < 3 || key.E%2 == 0 {
		return nil, errors.New("e is no RSA exponent")
	}
	return key, nil
}

func ecKey(x, y string) (*ecdsa.PublicKey, error) {
	px, err1 := base64.RawURLEncoding.DecodeString(x)
	py, err2 := base64.RawURLEncoding.DecodeString(y)
	if err1 != nil || err2 != nil || len(px) != 32 || len(py) != 32 {
		return nil, errors.New("x and y are no point of 32 bytes each")
	}
	return ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{4}, px, py))
}

// Issuer is what a token claims to come from, unverified: to find its provider.
func Issuer(token string) string {
	var claims struct{ Iss string }
	if parts := strings.Split(token, "."); len(token) <= maxTokenBytes && len(parts) == 3 {
		_ = decode(parts[1], &claims) // an unreadable token has no issuer
	}
	return claims.Iss
}

// Verify returns what a token says when the provider has signed it for one of
// the audiences and it is in force at now.
func (p Provider) Verify(token string, now time.Time) (Claims, error) {
	invalid := func(why string) (Claims, error) { return Claims{}, fmt.Errorf("%w: %s", ErrInvalid, why) }
	parts := strings.Split(token, ".")
	if len(token) > maxTokenBytes || len(parts) != 3 {
		return invalid("it is no signed JSON Web Token")
	}
	if !p.signed(parts) {
		return invalid("no key of the provider has signed it")
	}
	var body struct {
		Iss, Sub      string
		Aud           audience
		Exp, Nbf, Iat *float64
	}
	if err := decode(parts[1], &body); err != nil || body.Sub == "" || body.Exp == nil {
		return invalid("it needs the claims iss, sub, aud and exp")
	}
	moment := func(seconds float64) time.Time { return time.Unix(int64(seconds), 0) }
	switch {
	case body.Iss != p.Issuer:
		return invalid("its issuer is another")
	case !slices.ContainsFunc(body.Aud, func(a string) bool { return slices.Contains(p.Audiences, a) }):
		return invalid("it is for another audience")
	case !now.Before(moment(*body.Exp)):
		return Claims{}, ErrExpired
	case body.Nbf != nil && now.Add(clockSkew).Before(moment(*body.Nbf)), body.Iat != nil && now.Add(clockSkew).Before(moment(*body.Iat)):
		return invalid("it is not in force yet")
	}
	return Claims{body.Iss, body.Sub, body.Aud, moment(*body.Exp)}, nil
}

// signed reports whether a key of the provider made the signature.
func (p Provider) signed(parts []string) bool {
	var header struct {
		Alg, Kid string
		Crit     []string
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || decode(parts[0], &header) != nil || len(header.Crit) > 0 {
		return false
	}
	hash := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	return slices.ContainsFunc(p.Keys, func(k Key) bool {
		if header.Kid != k.ID && header.Kid != "" && k.ID != "" {
			return false
		}
		switch public := k.Public.(type) {
		case *rsa.PublicKey:
			return header.Alg == "RS256" && rsa.VerifyPKCS1v15(public, crypto.SHA256, hash[:], signature) == nil
		case *ecdsa.PublicKey:
			return header.Alg == "ES256" && len(signature) == 64 &&
				ecdsa.Verify(public, hash[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:]))
		}
		return false
	})
}

func decode(part string, into any) error {
	raw, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, into)
}

// audience is a string or a list of them.
type audience []string

// UnmarshalJSON implements json.Unmarshaler.
func (a *audience) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*a = audience{one}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(a))
}
