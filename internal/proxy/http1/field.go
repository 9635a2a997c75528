package http1

import "bytes"

// kind tells the fields that mean something to a proxy from all others.
type kind uint8

const (
	other kind = iota
	connection
	contentLength
	cookie
	expect
	host
	keepAlive
	proxyConnection
	setCookie
	suspicious // would be Content-Length or Transfer-Encoding to a lax reader
	te
	transferEncoding
	upgrade
	userAgent
	forwardedFor
	forwardedPort
	forwardedProto
)

// Field is a header field of a message.
type Field struct {
	Name, Value []byte
	kind        kind
}

// kindOf names the field, whatever its case is.
func kindOf(name []byte) kind {
	switch len(name) {
	case 2:
		return either(name, "te", te)
	case 4:
		return either(name, "host", host)
	case 6:
		if equalFold(name, "cookie") {
			return cookie
		}
		return either(name, "expect", expect)
	case 7:
		return either(name, "upgrade", upgrade)
	case 10:
		switch lower(name[0]) {
		case 'c':
			return either(name, "connection", connection)
		case 'k':
			return either(name, "keep-alive", keepAlive)
		case 's':
			return either(name, "set-cookie", setCookie)
		}
		return either(name, "user-agent", userAgent)
	}
	return kindOfLong(name)
}

func kindOfLong(name []byte) kind {
	switch {
	case equalFold(name, "content-length"):
		return contentLength
	case equalFold(name, "x-forwarded-for"):
		return forwardedFor
	case equalFold(name, "proxy-connection"):
		return proxyConnection
	case equalFold(name, "x-forwarded-port"):
		return forwardedPort
	case equalFold(name, "x-forwarded-proto"):
		return forwardedProto
	case equalFold(name, "transfer-encoding"):
		return transferEncoding
	case len(name) >= 13 && isSuspicious(name):
		return suspicious
	}
	return other
}

func either(name []byte, known string, k kind) kind {
	if equalFold(name, known) {
		return k
	}
	return other
}

// isSuspicious says that a name turns into one of the two that frame a message
// when everything but letters is taken away.
func isSuspicious(name []byte) bool {
	var letters [20]byte
	n := 0
	for _, c := range name {
		if c = lower(c); 'a' <= c && c <= 'z' {
			if n == len(letters) {
				return false
			}
			letters[n] = c
			n++
		}
	}
	got := string(letters[:n])
	return got == "contentlength" || got == "transferencoding"
}

// fields reads the lines of a head after the first. Names are checked by name,
// values must not have NUL or CR.
func (h *Head) fields(lines []byte, name func([]byte) ([]byte, error)) error {
	for len(lines) > 0 {
		line, rest := h.line(lines)
		if len(line) == 0 {
			return nil
		}
		lines = rest
		if isSpace(line[0]) {
			if err := h.unfold(line); err != nil {
				return err
			}
			continue
		}
		before, after, found := bytes.Cut(line, []byte(":"))
		if !found {
			return malformed("a header line without a colon")
		}
		n, err := name(before)
		if err != nil {
			return err
		}
		value := trim(after)
		if err := h.checkValue(value); err != nil {
			return err
		}
		if len(h.Fields) == maxFields {
			return malformed("too many header fields")
		}
		h.Fields = append(h.Fields, Field{Name: n, Value: value, kind: kindOf(n)})
	}
	return nil
}

// line cuts a line off. RFC 9112 section 2.2 lets a reader take a bare LF for its end.
func (h *Head) line(lines []byte) (line, rest []byte) {
	end := bytes.IndexByte(lines, '\n')
	if end < 0 {
		return lines, nil
	}
	line, rest = lines[:end], lines[end+1:]
	if end > 0 && line[end-1] == '\r' {
		return line[:end-1], rest
	}
	h.note(Acceptable, "NonCrLfLineTermination")
	return line, rest
}

// unfold appends a continuation line to the value before it (RFC 9112 section
// 5.2), with a space between them.
func (h *Head) unfold(line []byte) error {
	if len(h.Fields) == 0 {
		return malformed("white space before the first header field")
	}
	last := &h.Fields[len(h.Fields)-1]
	if last.kind == contentLength || last.kind == transferEncoding || last.kind == host {
		return malformed("a folded field that frames or routes")
	}
	if err := h.checkValue(line); err != nil {
		return err
	}
	h.note(Ambiguous, "MultilineHeader")
	joined := make([]byte, 0, len(last.Value)+1+len(line))
	joined = append(append(joined, last.Value...), ' ')
	joined = append(joined, trim(line)...)
	last.Value = joined
	return nil
}

// checkValue refuses what could end a line in another reader's eyes.
func (h *Head) checkValue(value []byte) error {
	for _, c := range value {
		if c >= ' ' && c < 0x7f || c == '\t' {
			continue
		}
		if c == 0 || c == '\r' {
			return malformed("NUL or CR in a header field")
		}
		h.note(Acceptable, "NonCompliantHeader")
	}
	return nil
}
