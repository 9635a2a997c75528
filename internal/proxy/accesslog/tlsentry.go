package accesslog

import (
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// TLSEntry is a connection of a Network Load Balancer's TLS listener. Strings
// that are empty are not known or do not apply.
type TLSEntry struct {
	Start, End time.Time // of the connection
	Listener   string    // ARN

	Client, Destination netip.AddrPort // the latter is the listener's: AWS never tells the target

	Handshake      time.Duration // how long it took; negative when it did not complete
	Received, Sent int64         // bytes, outside of TLS
	Alert          uint8         // that the client sent; 0, which ends a connection in order, is none

	CertificateARN     string
	Cipher, TLSVersion string // by OpenSSL's and AWS's names: TLSNames
	ServerName         string // that the client asked for

	// Of listeners with an ALPN policy: what was negotiated with the client and
	// with the target, and what the client offered.
	Protocol, TargetProtocol string
	Offered                  []string
}

const (
	tlsTime    = " 2006-01-02T15:04:05" // UTC, without a zone
	maxOffered = 256                    // bytes of the client's protocols that are written
)

// Append writes the entry's line (user guide for Network Load Balancers, access
// log entries, version 2.0).
func (e *TLSEntry) Append(dst []byte, balancer string) []byte {
	dst = append(dst, "tls 2.0"...)
	dst = e.End.UTC().AppendFormat(dst, tlsTime)
	dst = append(append(dst, ' '), balancer...)
	dst = append(append(dst, ' '), e.Listener[strings.LastIndexByte(e.Listener, '/')+1:]...)
	dst = e.Client.AppendTo(append(dst, ' '))
	dst = e.Destination.AppendTo(append(dst, ' '))
	dst = appendNumber(dst, e.End.Sub(e.Start).Milliseconds())
	if e.Handshake < 0 {
		dst = append(dst, " -"...)
	} else {
		dst = appendNumber(dst, e.Handshake.Milliseconds())
	}
	dst = appendNumber(appendNumber(dst, e.Received), e.Sent)
	if e.Alert == 0 {
		dst = append(dst, " -"...)
	} else {
		dst = appendNumber(dst, int64(e.Alert))
	}
	dst = append(append(dst, ' '), orDash(e.CertificateARN)...)
	dst = append(append(append(dst, " - "...), orDash(e.Cipher)...), ' ')   // the dash: the certificate's serial, reserved
	dst = append(append(dst, orDash(awsVersion(e.TLSVersion))...), " -"...) // the dash: the named group, reserved
	for _, s := range []string{e.ServerName, e.Protocol, e.TargetProtocol} {
		dst = appendEncoded(append(dst, ' '), orDash(s))
	}
	dst = appendOffered(append(dst, ' '), e.Offered)
	return append(e.Start.UTC().AppendFormat(dst, tlsTime), '\n')
}

// awsVersion turns TLSv1.2 into tlsv12.
func awsVersion(s string) string { return strings.ToLower(strings.Replace(s, ".", "", 1)) }

func appendNumber(dst []byte, n int64) []byte { return strconv.AppendInt(append(dst, ' '), n, 10) }

// appendOffered writes "h2","http/1.1".
func appendOffered(dst []byte, protocols []string) []byte {
	if len(protocols) == 0 {
		return append(dst, '-')
	}
	begin := len(dst)
	for i, p := range protocols {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendEncoded(append(dst, '"'), p), '"')
	}
	return dst[:min(len(dst), begin+maxOffered)]
}

// appendEncoded writes what a client sent as in a URL, so that it can end neither
// a field nor the line. A slash stays, as in AWS's http/1.1.
func appendEncoded(dst []byte, s string) []byte {
	const hex = "0123456789ABCDEF"
	for _, c := range []byte(s[:min(len(s), maxField)]) {
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~/*:", c) >= 0 {
			dst = append(dst, c)
		} else {
			dst = append(dst, '%', hex[c>>4], hex[c&15])
		}
	}
	return dst
}
