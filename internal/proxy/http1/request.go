package http1

import (
	"bytes"
	"strconv"
)

// Request is the head of a request.
type Request struct {
	Head
	Method, Target []byte // Target is in origin form, or * of OPTIONS
	Host           []byte // nil: none, which HTTP/1.0 may
	UserAgent      []byte
	// Expect says that the client waits for 100 Continue before it sends the body.
	Expect bool
}

// Parse reads the whole head in b, as End found it. It returns a *Refusal for
// what cannot be passed on.
func (r *Request) Parse(b []byte) error {
	fields := r.Head
	*r = Request{Head: fields}
	r.reset()
	line, rest := r.line(b)
	if err := r.startLine(line); err != nil {
		return err
	}
	if err := r.fields(rest, requestName); err != nil {
		return err
	}
	if err := r.frame(); err != nil {
		return err
	}
	if err := r.route(); err != nil {
		return err
	}
	return r.semantics()
}

// Hopeless refuses a head whose beginning already shows that it is none: what
// comes before the first space is no method. It returns nil otherwise.
func Hopeless(b []byte) *Refusal {
	for i, c := range b {
		switch {
		case c == ' ' && i > 0:
			return nil
		case !tchar[c]:
			return &Refusal{Status: 400, Reason: "BadMethod"}
		case i == MaxMethod:
			return &Refusal{Status: 405, Reason: "the method is too long"}
		}
	}
	return nil
}

func requestName(name []byte) ([]byte, error) {
	if !isToken(name) {
		return nil, malformed("a field name that is no token")
	}
	return name, nil
}

func (r *Request) startLine(line []byte) error {
	i := bytes.IndexByte(line, ' ')
	if i > MaxMethod {
		return &Refusal{Status: 405, Reason: "the method is too long"}
	}
	if i < 0 || !isToken(line[:i]) {
		return malformed("BadMethod")
	}
	r.Method, line = line[:i], line[i+1:]
	i = bytes.IndexByte(line, ' ')
	if i <= 0 {
		return malformed("a request line without target or version")
	}
	r.Target = line[:i]
	if err := r.version(line[i+1:]); err != nil {
		return err
	}
	return r.target()
}

func (r *Request) version(v []byte) error {
	if len(v) != len("HTTP/1.1") || string(v[:7]) != "HTTP/1." || v[7] < '0' || v[7] > '9' {
		return malformed("BadVersion")
	}
	r.Minor = min(int(v[7]-'0'), 1)
	if v[7] > '1' {
		r.note(Acceptable, "NonCompliantVersion")
	}
	return nil
}

// target checks the request target and brings it into origin form.
func (r *Request) target() error {
	for _, c := range r.Target {
		if c <= ' ' || c == 0x7f {
			return malformed("BadUri")
		}
		if c >= 0x80 || c == '#' {
			r.note(Acceptable, "NonCompliantUri")
		}
	}
	switch {
	case r.Is("CONNECT"):
		return malformed("CONNECT")
	case r.Target[0] == '/':
		return nil
	case len(r.Target) == 1 && r.Target[0] == '*' && r.Is("OPTIONS"):
		return nil
	}
	return r.absolute()
}

// absolute takes an absolute-form target apart; its authority replaces what the
// Host field says (RFC 9112 section 3.2.2).
func (r *Request) absolute() error {
	scheme, rest, ok := bytes.Cut(r.Target, []byte("://"))
	if !ok || !equalFold(scheme, "http") && !equalFold(scheme, "https") {
		return malformed("BadUri")
	}
	slash := bytes.IndexAny(rest, "/?")
	if slash < 0 {
		r.Host, r.Target = rest, []byte("/")
		if r.Is("OPTIONS") {
			r.Target = []byte("*")
		}
	} else if r.Host, r.Target = rest[:slash], rest[slash:]; r.Target[0] == '?' {
		r.Target = append([]byte("/"), r.Target...)
	}
	if len(r.Host) == 0 || !madeOf(&hostChar, r.Host) {
		return malformed("BadUri")
	}
	return nil
}

// route finds the Host, of which HTTP/1.1 has exactly one (RFC 9112 section 3.2).
func (r *Request) route() error {
	found := false
	for i := range r.Fields {
		f := &r.Fields[i]
		switch f.kind {
		case host:
			if found || !madeOf(&hostChar, f.Value) {
				return malformed("more than one Host, or one that is none")
			}
			found = true
			if r.Host == nil {
				r.Host = f.Value
			}
		case userAgent:
			r.UserAgent = f.Value
		case expect:
			r.Expect = r.Minor > 0 && equalFold(f.Value, "100-continue")
		}
	}
	if !found && r.Minor > 0 {
		return malformed("HTTP/1.1 without Host")
	}
	return nil
}

// semantics looks at what a body means to the method.
func (r *Request) semantics() error {
	if r.Chunked && r.Minor == 0 {
		return malformed("Transfer-Encoding in HTTP/1.0")
	}
	if r.Is("GET") || r.Is("HEAD") {
		switch {
		case r.Chunked:
			r.note(Ambiguous, "UndefinedTransferEncodingSemantics")
		case r.Length > 0:
			r.note(Ambiguous, "UndefinedContentLengthSemantics")
		case r.Length == 0:
			r.note(Acceptable, "GetHeadZeroContentLength")
		}
	}
	r.Expect = r.Expect && r.HasBody()
	return nil
}

// Is compares the method; methods have cases.
func (r *Request) Is(method string) bool { return string(r.Method) == method }

// HasBody says that bytes of a body follow the head.
func (r *Request) HasBody() bool { return r.Chunked || r.Length > 0 }

// Persists says that the client wants to send more requests after this one.
func (r *Request) Persists() bool { return !r.Close && (r.Minor > 0 || r.KeepAlive) }

// Idempotent says that the request may be sent twice (RFC 9110 section 9.2.2).
func (r *Request) Idempotent() bool {
	switch string(r.Method) {
	case "GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE":
		return true
	}
	return false
}

// Forward is what the proxy adds to a request.
type Forward struct {
	For   string // the client's address
	Proto string // http or https
	Port  string // the listener's
	Host  string // for requests without one
	Close bool   // this connection is not used again
}

// Append writes the head as the target gets it, in HTTP/1.1.
func (r *Request) Append(dst []byte, f Forward) []byte {
	dst = append(append(dst, r.Method...), ' ')
	dst = append(append(dst, r.Target...), " HTTP/1.1\r\nHost: "...)
	if r.Host == nil {
		dst = append(dst, f.Host...)
	} else {
		dst = append(dst, r.Host...)
	}
	dst = append(dst, "\r\n"...)
	before := 0 // X-Forwarded-For fields
	for i := range r.Fields {
		field := &r.Fields[i]
		switch {
		case field.kind == other || field.kind == userAgent || field.kind == cookie:
			if len(r.nominated) == 0 || !r.hop(field) {
				dst = appendField(dst, field.Name, field.Value)
			}
		case field.kind == expect && r.Expect:
			dst = appendField(dst, field.Name, field.Value)
		case field.kind == forwardedFor:
			before++
		case field.kind == te && hasTrailers(field.Value):
			dst = append(dst, "TE: trailers\r\n"...)
		}
	}
	dst = r.appendForwarded(dst, f, before)
	dst = r.appendFraming(dst)
	if f.Close {
		dst = append(dst, "Connection: close\r\n"...)
	}
	return append(dst, "\r\n"...)
}

// appendForwarded appends the client to X-Forwarded-For and overwrites the other
// two: what the client said of itself is kept but never taken for the proxy's.
func (r *Request) appendForwarded(dst []byte, f Forward, before int) []byte {
	dst = append(dst, "X-Forwarded-For: "...)
	for i := range r.Fields {
		if before == 0 {
			break
		}
		if field := &r.Fields[i]; field.kind == forwardedFor {
			before--
			if len(field.Value) > 0 {
				dst = append(append(dst, field.Value...), ", "...)
			}
		}
	}
	dst = append(append(dst, f.For...), "\r\nX-Forwarded-Port: "...)
	dst = append(append(dst, f.Port...), "\r\nX-Forwarded-Proto: "...)
	return append(append(dst, f.Proto...), "\r\n"...)
}

func hasTrailers(value []byte) bool {
	for list := value; list != nil; {
		var element []byte
		if element, list = nextElement(list); equalFold(element, "trailers") {
			return true
		}
	}
	return false
}

func appendInt(dst []byte, n int64) []byte { return strconv.AppendInt(dst, n, 10) }

// Cookie finds the value of a cookie.
func (r *Request) Cookie(name string) (value []byte, ok bool) {
	for i := range r.Fields {
		if r.Fields[i].kind != cookie {
			continue
		}
		for rest := r.Fields[i].Value; len(rest) > 0; {
			var pair []byte
			pair, rest, _ = bytes.Cut(rest, []byte(";"))
			n, v, found := bytes.Cut(trim(pair), []byte("="))
			if found && string(n) == name {
				return v, true
			}
		}
	}
	return nil, false
}
