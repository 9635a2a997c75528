package wire

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Signature Version 4, the server's side: the canonical request is rebuilt from
// the signed headers only, the body is hashed here (the query services send no
// x-amz-content-sha256), and the signature is compared in constant time.
// Source: AWS "Signature Version 4 signing process".
const (
	sigAlgorithm  = "AWS4-HMAC-SHA256"
	sigTerminator = "aws4_request"
	sigTimeFormat = "20060102T150405Z"
	sigWindow     = 15 * time.Minute // either way; two equal calls within it are both valid
)

const signatureMismatch = "The request signature we calculated does not match the signature you provided. " +
	"Check your AWS Secret Access Key and signing method. Consult the service documentation for details."

// authorization is a parsed Authorization header.
type authorization struct {
	accessKeyID   string
	date          string // yyyymmdd
	region        string
	service       string
	terminator    string
	signedHeaders []string // lower case, in the order given
	signature     string
}

func (a authorization) scope() string {
	return a.date + "/" + a.region + "/" + a.service + "/" + a.terminator
}

// parseAuthorization takes the header apart. It reports all missing parts.
func parseAuthorization(header string) (authorization, error) {
	algorithm, rest, _ := strings.Cut(strings.TrimSpace(header), " ")
	if algorithm != sigAlgorithm {
		return authorization{}, Errorf(codeIncomplete, "Unsupported AWS 'algorithm': '%s'.", quotable(algorithm))
	}
	parts := map[string]string{}
	for part := range strings.SplitSeq(rest, ",") {
		key, value, ok := strings.Cut(strings.TrimSpace(part), "=")
		if _, twice := parts[key]; !ok || twice {
			return authorization{}, Errorf(codeIncomplete, "'%s' is not a key=value pair in Authorization header.", quotable(part))
		}
		parts[key] = value
	}
	var missing []string
	for _, name := range []string{"Credential", "Signature", "SignedHeaders"} {
		if parts[name] == "" {
			missing = append(missing, "Authorization header requires '"+name+"' parameter.")
		}
	}
	if missing != nil {
		return authorization{}, Errorf(codeIncomplete, "%s", strings.Join(missing, " "))
	}
	return parseCredential(parts["Credential"], authorization{
		signedHeaders: strings.Split(parts["SignedHeaders"], ";"),
		signature:     parts["Signature"],
	})
}

func parseCredential(credential string, a authorization) (authorization, error) {
	scope := strings.Split(credential, "/")
	if len(scope) != 5 || slices.Contains(scope, "") {
		return authorization{}, Errorf(codeIncomplete,
			"Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '%s'.", quotable(credential))
	}
	a.accessKeyID, a.date, a.region, a.service, a.terminator = scope[0], scope[1], scope[2], scope[3], scope[4]
	return a, nil
}

// signingTime is when the request says it was signed.
func signingTime(h http.Header) (time.Time, error) {
	raw := cmp.Or(h.Get("X-Amz-Date"), h.Get("Date"))
	if raw == "" {
		return time.Time{}, Errorf(codeIncomplete,
			"Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
	}
	if t, err := time.Parse(sigTimeFormat, raw); err == nil {
		return t, nil
	}
	if t, err := http.ParseTime(raw); err == nil {
		return t, nil
	}
	return time.Time{}, Errorf(codeIncomplete, "Date must be in ISO-8601 'basic format'. Got '%s'.", quotable(raw))
}

// expectation is what a signature has to fit.
type expectation struct {
	regions []string // any of them; the last is the endpoint's own
	service string
	now     time.Time
}

// checkScope compares everything about a signature that needs no key.
func (a authorization) checkScope(h http.Header, want expectation) (time.Time, error) {
	at, err := signingTime(h)
	if err != nil {
		return at, err
	}
	switch {
	case a.terminator != sigTerminator:
		return at, Errorf(codeBadSignature, "Credential should be scoped with a valid terminator: '%s', not '%s'.", sigTerminator, quotable(a.terminator))
	case a.service != want.service:
		return at, Errorf(codeBadSignature, "Credential should be scoped to correct service: '%s'.", want.service)
	case !slices.Contains(want.regions, a.region):
		return at, Errorf(codeBadSignature, "Credential should be scoped to a valid region, not '%s': this endpoint is '%s'.",
			quotable(a.region), want.regions[len(want.regions)-1])
	case a.date != at.UTC().Format("20060102"):
		return at, Errorf(codeBadSignature, "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '%s' != '%s', from '%s'.",
			quotable(a.date), at.UTC().Format("20060102"), at.UTC().Format(sigTimeFormat))
	}
	return at, checkClock(at, want.now)
}

func checkClock(at, now time.Time) error {
	text := func(t time.Time) string { return t.UTC().Format(sigTimeFormat) }
	if oldest := now.Add(-sigWindow); at.Before(oldest.Truncate(time.Second)) {
		return Errorf(codeBadSignature, "Signature expired: %s is now earlier than %s (%s - 15 min.)", text(at), text(oldest), text(now))
	}
	if newest := now.Add(sigWindow); at.After(newest) {
		return Errorf(codeBadSignature, "Signature not yet current: %s is still later than %s (%s + 15 min.)", text(at), text(newest), text(now))
	}
	return nil
}

// verify checks the signature of a request whose body is given.
func (a authorization) verify(r *http.Request, body []byte, c Credential, want expectation) error {
	at, err := a.checkScope(r.Header, want)
	if err != nil {
		return err
	}
	if err := a.checkSignedHeaders(r.Header); err != nil {
		return err
	}
	hash := sha256.Sum256(a.canonicalRequest(r, body))
	stringToSign := strings.Join([]string{sigAlgorithm, at.UTC().Format(sigTimeFormat), a.scope(), hex.EncodeToString(hash[:])}, "\n")
	key := []byte("AWS4" + c.SecretAccessKey)
	for _, part := range []string{a.date, a.region, a.service, a.terminator} {
		key = mac(key, part)
	}
	if !hmac.Equal([]byte(hex.EncodeToString(mac(key, stringToSign))), []byte(a.signature)) {
		return Errorf(codeBadSignature, signatureMismatch)
	}
	if !hmac.Equal([]byte(r.Header.Get("X-Amz-Security-Token")), []byte(c.SessionToken)) {
		return Errorf(codeUnknownKey, unknownKey)
	}
	return nil
}

const unknownKey = "The security token included in the request is invalid."

// checkSignedHeaders refuses a signature that leaves out what gives the request
// its meaning: the host, the time, the session token and the JSON operation.
func (a authorization) checkSignedHeaders(h http.Header) error {
	for _, name := range []string{"Host", "X-Amz-Date", "X-Amz-Security-Token", "X-Amz-Target"} {
		needed := name == "Host" || h.Get(name) != ""
		if needed && !slices.Contains(a.signedHeaders, strings.ToLower(name)) {
			return Errorf(codeBadSignature, "'%s' must be a 'SignedHeader' in the AWS Authorization.", name)
		}
	}
	if h.Get("X-Amz-Date") == "" && !slices.Contains(a.signedHeaders, "date") {
		return Errorf(codeBadSignature, "'Date' must be a 'SignedHeader' in the AWS Authorization.")
	}
	return nil
}

func mac(key []byte, s string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(s))
	return h.Sum(nil)
}

// canonicalRequest is the text whose hash is signed.
func (a authorization) canonicalRequest(r *http.Request, body []byte) []byte {
	var b strings.Builder
	b.WriteString(r.Method + "\n" + canonicalURI(r.URL.EscapedPath()) + "\n" + canonicalQuery(r.URL.RawQuery) + "\n")
	for _, name := range a.signedHeaders {
		b.WriteString(name + ":" + canonicalHeader(r, name) + "\n")
	}
	hash := sha256.Sum256(body)
	b.WriteString("\n" + strings.Join(a.signedHeaders, ";") + "\n" + hex.EncodeToString(hash[:]))
	return []byte(b.String())
}

// canonicalHeader is a header's value with runs of spaces made one. Host and
// content-length are kept by net/http outside the header map.
func canonicalHeader(r *http.Request, name string) string {
	switch name {
	case "host":
		return r.Host
	case "content-length":
		return strconv.FormatInt(r.ContentLength, 10)
	}
	values := slices.Clone(r.Header.Values(name))
	for i, v := range values {
		values[i] = strings.Join(strings.FieldsFunc(v, func(c rune) bool { return c == ' ' }), " ")
	}
	return strings.Join(values, ",")
}

// canonicalURI encodes the path a second time, as all services but S3 want it.
func canonicalURI(path string) string {
	if path == "" {
		return "/"
	}
	return percentEncode(path, "/")
}

func canonicalQuery(raw string) string {
	if raw == "" {
		return ""
	}
	var pairs []string
	for pair := range strings.SplitSeq(raw, "&") {
		name, value, _ := strings.Cut(pair, "=")
		name, _ = unescape(name)
		value, _ = unescape(value)
		pairs = append(pairs, percentEncode(name, "")+"="+percentEncode(value, ""))
	}
	slices.Sort(pairs)
	return strings.Join(pairs, "&")
}

// percentEncode encodes all bytes but RFC 3986's unreserved ones and those in
// keep.
func percentEncode(s, keep string) string {
	const hexDigits = "0123456789ABCDEF"
	var b strings.Builder
	for _, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9',
			strings.IndexByte("-._~", c) >= 0, strings.IndexByte(keep, c) >= 0:
			b.WriteByte(c)
		default:
			b.Write([]byte{'%', hexDigits[c>>4], hexDigits[c&15]})
		}
	}
	return b.String()
}
