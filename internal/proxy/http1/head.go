package http1

import (
	"bytes"
	"fmt"
)

// maxFields bounds what a head costs to look at; MaxHead bounds its bytes.
const (
	maxFields = 256
	MaxHead   = 64 << 10 // bytes of a start line and fields together
	MaxMethod = 127      // characters, as Classic Load Balancers have it
)

// Tier says how far a request is from RFC 9112, in the words of desync
// mitigation. What the strictest reader and the laxest one could take for two
// different requests is no Tier but a Refusal.
type Tier uint8

// The tiers.
const (
	Compliant  Tier = iota
	Acceptable      // not compliant, without known risk
	Ambiguous       // readers differ; safe when its connections are not used again
)

func (t Tier) String() string {
	return [...]string{"Compliant", "Acceptable", "Ambiguous"}[t]
}

// Refusal is why a message is not passed on, with the status that says so.
type Refusal struct {
	Status int
	Reason string
}

func (r *Refusal) Error() string { return fmt.Sprintf("%d: %s", r.Status, r.Reason) }

func malformed(reason string) error { return &Refusal{Status: 400, Reason: reason} }

// Head is what requests and responses share.
type Head struct {
	Fields []Field
	// Minor is the version's: HTTP/1.Minor, 0 or 1.
	Minor int
	// Length is the body's in bytes; -1: not said.
	Length int64
	// Chunked has precedence over Length.
	Chunked bool
	// Close and KeepAlive are what the Connection field asks for.
	Close, KeepAlive bool

	// Tier and Reason are the worst of what was found.
	Tier   Tier
	Reason string

	nominated []byte // the Connection fields' other names, comma-separated
	upgrades  bool
}

func (h *Head) reset() {
	fields := h.Fields[:0]
	*h = Head{Fields: fields, Length: -1}
}

// note raises the tier.
func (h *Head) note(t Tier, reason string) {
	if t > h.Tier {
		h.Tier, h.Reason = t, reason
	}
}

// End finds the end of a head: the index after its empty line, or 0 when it is
// not in b yet. Bytes before from were looked at before; b must not begin with an
// empty line (see Blank).
func End(b []byte, from int) int {
	i := max(from-3, 0)
	for {
		lf := bytes.IndexByte(b[i:], '\n')
		if lf < 0 {
			return 0
		}
		i += lf + 1
		switch {
		case i < len(b) && b[i] == '\n':
			return i + 1
		case i+1 < len(b) && b[i] == '\r' && b[i+1] == '\n':
			return i + 2
		}
	}
}

// Blank counts the empty lines' bytes before a request line, which a server
// ignores (RFC 9112 section 2.2).
func Blank(b []byte) (n int) {
	for n < len(b) {
		switch {
		case b[n] == '\n':
			n++
		case b[n] == '\r' && n+1 < len(b) && b[n+1] == '\n':
			n += 2
		default:
			return n
		}
	}
	return n
}

// frame reads the fields that say where the body ends, and the Connection's.
func (h *Head) frame() error {
	for i := range h.Fields {
		f := &h.Fields[i]
		var err error
		switch f.kind {
		case contentLength:
			err = h.readLength(f.Value)
		case transferEncoding:
			err = h.readEncoding(f.Value)
		case connection:
			h.readConnection(f.Value)
		case upgrade:
			h.upgrades = true
		case suspicious:
			h.note(Ambiguous, "SuspiciousHeader")
		}
		if err != nil {
			return err
		}
	}
	if h.Chunked && h.Length >= 0 {
		h.note(Ambiguous, "BothTeClPresent")
	}
	return nil
}

// readLength takes a list of equal lengths for one (RFC 9112 section 6.3).
func (h *Head) readLength(value []byte) error {
	for list := value; ; {
		element, rest := nextElement(list)
		n, ok := parseLength(element)
		switch {
		case !ok:
			return malformed("BadContentLength")
		case h.Length >= 0 && h.Length != n:
			return malformed("MultipleContentLength")
		case h.Length == n:
			h.note(Ambiguous, "DuplicateContentLength")
		}
		h.Length = n
		if rest == nil {
			return nil
		}
		list = rest
	}
}

// readEncoding takes the one coding that a proxy can follow.
func (h *Head) readEncoding(value []byte) error {
	switch {
	case !equalFold(value, "chunked"):
		return malformed("BadTransferEncoding")
	case h.Chunked:
		return malformed("MultipleTransferEncodingChunked")
	}
	h.Chunked = true
	return nil
}

func (h *Head) readConnection(value []byte) {
	for list := value; list != nil; {
		var option []byte
		option, list = nextElement(list)
		switch {
		case equalFold(option, "close"):
			h.Close = true
		case equalFold(option, "keep-alive"):
			h.KeepAlive = true
		case len(option) > 0:
			h.nominated = append(append(h.nominated, option...), ',')
		}
	}
}

// hop says that a field ends at this proxy: those that RFC 9110 section 7.6.1
// names and those that the Connection field names.
func (h *Head) hop(f *Field) bool {
	switch f.kind {
	case connection, keepAlive, proxyConnection, upgrade, te, suspicious, contentLength, transferEncoding:
		return true
	case host, cookie, setCookie, forwardedFor, forwardedPort, forwardedProto:
		return false // a peer cannot have these taken away
	}
	for list := h.nominated; len(list) > 0; {
		var name []byte
		name, list = nextElement(list)
		if bytes.EqualFold(name, f.Name) {
			return true
		}
	}
	return false
}

// appendFraming writes how long the body is.
func (h *Head) appendFraming(dst []byte) []byte {
	switch {
	case h.Chunked:
		return append(dst, "Transfer-Encoding: chunked\r\n"...)
	case h.Length >= 0:
		dst = append(dst, "Content-Length: "...)
		dst = appendInt(dst, h.Length)
		return append(dst, "\r\n"...)
	}
	return dst
}

func appendField(dst, name, value []byte) []byte {
	dst = append(append(dst, name...), ": "...)
	return append(append(dst, value...), "\r\n"...)
}
