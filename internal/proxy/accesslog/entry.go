package accesslog

import (
	"net/netip"
	"strconv"
	"time"
)

// Entry is a request, or a connection of a TCP or SSL listener.
type Entry struct {
	Time   time.Time // when it came
	Client netip.AddrPort
	Target netip.AddrPort // zero: it was sent to none

	// How long the load balancer took to pass the request on, the target to
	// answer it, the load balancer to pass the answer on. Negative: it did not
	// come to that.
	RequestTime, TargetTime, ResponseTime time.Duration

	Status, TargetStatus int   // 0: none, as of TCP listeners
	Received, Sent       int64 // bytes: bodies of HTTP, everything of TCP

	// Request is method, URL and version of HTTP; empty for TCP listeners.
	Method, URL, Version string
	UserAgent            string
	Cipher, TLSVersion   string // by OpenSSL's and AWS's names; empty without TLS
}

// maxField bounds what a client can make a line cost, bytes.
const maxField = 8 << 10

// Append writes the entry's line (user guide for Classic Load Balancers, access
// log entries).
func (e *Entry) Append(dst []byte, balancer string) []byte {
	dst = e.Time.UTC().AppendFormat(dst, "2006-01-02T15:04:05.000000Z")
	dst = append(append(append(dst, ' '), balancer...), ' ')
	dst = appendAddress(dst, e.Client)
	dst = appendAddress(dst, e.Target)
	for _, d := range []time.Duration{e.RequestTime, e.TargetTime, e.ResponseTime} {
		dst = appendSeconds(dst, d)
	}
	dst = appendStatus(dst, e.Status)
	dst = appendStatus(dst, e.TargetStatus)
	dst = append(strconv.AppendInt(dst, e.Received, 10), ' ')
	dst = append(strconv.AppendInt(dst, e.Sent, 10), " \""...)
	dst = append(appendQuoted(dst, orDash(e.Method)), ' ')
	dst = append(appendQuoted(dst, orDash(e.URL)), ' ')
	if e.Method == "" {
		dst = append(dst, "- \" \"-\" "...) // as AWS writes it, with a space before the quote
	} else {
		dst = append(append(dst, e.Version...), "\" \""...)
		dst = append(appendQuoted(dst, orDash(e.UserAgent)), "\" "...)
	}
	dst = append(append(dst, orDash(e.Cipher)...), ' ')
	return append(append(dst, orDash(e.TLSVersion)...), '\n')
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func appendAddress(dst []byte, a netip.AddrPort) []byte {
	if !a.IsValid() {
		return append(dst, "- "...)
	}
	return append(a.AppendTo(dst), ' ')
}

// appendSeconds writes microseconds, or -1.
func appendSeconds(dst []byte, d time.Duration) []byte {
	if d < 0 {
		return append(dst, "-1 "...)
	}
	return append(strconv.AppendFloat(dst, d.Seconds(), 'f', 6, 64), ' ')
}

func appendStatus(dst []byte, status int) []byte {
	if status == 0 {
		return append(dst, "- "...)
	}
	return append(strconv.AppendInt(dst, int64(status), 10), ' ')
}

// appendQuoted writes what a client sent so that it can neither end the field
// nor the line.
func appendQuoted(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	if len(s) > maxField {
		s = s[:maxField]
	}
	for _, c := range []byte(s) {
		if c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			dst = append(dst, '\\', 'x', hex[c>>4], hex[c&15])
		} else {
			dst = append(dst, c)
		}
	}
	return dst
}
