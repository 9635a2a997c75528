package http1

import (
	"bytes"
	"errors"
)

// Response is the head of a response.
type Response struct {
	Head
	Status int
	line   []byte // status and reason, as they came
}

// Parse reads the whole head in b, as End found it. What it refuses is a bad
// gateway's.
func (r *Response) Parse(b []byte) error {
	*r = Response{Head: r.Head}
	r.reset()
	line, rest := r.Head.line(b)
	if err := r.startLine(line); err != nil {
		return err
	}
	if err := r.fields(rest, responseName); err != nil {
		return badGateway(err)
	}
	return badGateway(r.frame())
}

func badGateway(err error) error {
	if refusal, ok := errors.AsType[*Refusal](err); ok {
		return &Refusal{Status: 502, Reason: refusal.Reason}
	}
	return err
}

func (r *Response) startLine(line []byte) error {
	bad := &Refusal{Status: 502, Reason: "a malformed status line"}
	if len(line) < len("HTTP/1.1 200") || string(line[:7]) != "HTTP/1." || line[8] != ' ' {
		return bad
	}
	if r.Minor = int(line[7] - '0'); r.Minor > 1 {
		return bad
	}
	r.line = line[9:]
	status, ok := parseLength(r.line[:3])
	if !ok || status < 100 || len(r.line) > 3 && r.line[3] != ' ' {
		return bad
	}
	r.Status = int(status)
	return badGateway(r.checkValue(r.line))
}

// responseName takes away white space before the colon, as RFC 9112 section 5.1
// asks of a proxy.
func responseName(name []byte) ([]byte, error) {
	for len(name) > 0 && isSpace(name[len(name)-1]) {
		name = name[:len(name)-1]
	}
	return requestName(name)
}

// Bodyless says that no body follows, whatever the fields say (RFC 9112 section 6.3).
func (r *Response) Bodyless(req *Request) bool {
	return r.Status < 200 || r.Status == 204 || r.Status == 304 || req.Is("HEAD")
}

// Persists says that the target's connection can be used again: the end of the
// body is told beyond doubt.
func (r *Response) Persists(req *Request) bool {
	told := r.Bodyless(req) || r.Length >= 0 || r.Chunked && r.Minor > 0
	return told && !r.Close && r.Tier < Ambiguous && (r.Minor > 0 || r.KeepAlive)
}

// Backward is what the proxy adds to a response.
type Backward struct {
	Connection string   // close or keep-alive; empty: not said
	SetCookies [][]byte // values of further Set-Cookie fields
	Dechunk    bool     // the client knows no chunks: the body ends with the connection
}

// Append writes the head as the client gets it, in HTTP/1.1.
func (r *Response) Append(dst []byte, req *Request, b Backward) []byte {
	dst = append(append(dst, "HTTP/1.1 "...), r.line...)
	dst = append(dst, "\r\n"...)
	for i := range r.Fields {
		if f := &r.Fields[i]; !r.hop(f) {
			dst = appendField(dst, f.Name, f.Value)
		}
	}
	for _, c := range b.SetCookies {
		dst = append(append(append(dst, "Set-Cookie: "...), c...), "\r\n"...)
	}
	if r.Status >= 200 && r.Status != 204 && !b.Dechunk {
		dst = r.appendFraming(dst)
	}
	if b.Connection != "" {
		dst = append(append(append(dst, "Connection: "...), b.Connection...), "\r\n"...)
	}
	return append(dst, "\r\n"...)
}

// SetsCookie finds the value of the Set-Cookie field that sets a cookie: the
// last one, which is the one that counts.
func (r *Response) SetsCookie(name string) (value []byte, ok bool) {
	for i := range r.Fields {
		if r.Fields[i].kind != setCookie {
			continue
		}
		n, _, found := bytes.Cut(r.Fields[i].Value, []byte("="))
		if found && string(trim(n)) == name {
			value, ok = r.Fields[i].Value, true
		}
	}
	return value, ok
}
