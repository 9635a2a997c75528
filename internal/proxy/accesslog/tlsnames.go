package accesslog

import (
	"crypto/tls"
	"strings"
)

// TLSNames names a connection's cipher and protocol as access logs do.
func TLSNames(s tls.ConnectionState) (cipher, version string) {
	return openSSLName(tls.CipherSuiteName(s.CipherSuite)), strings.Replace(tls.VersionName(s.Version), "TLS ", "TLSv", 1)
}

// openSSLName turns TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 into
// ECDHE-RSA-AES128-GCM-SHA256. Names of TLS 1.3 are the same.
func openSSLName(iana string) string {
	exchange, rest, ok := strings.Cut(strings.TrimPrefix(iana, "TLS_"), "_WITH_")
	if !ok {
		return iana
	}
	rest = strings.NewReplacer("AES_128_CBC", "AES128", "AES_256_CBC", "AES256", "AES_128", "AES128", "AES_256", "AES256",
		"CHACHA20_POLY1305_SHA256", "CHACHA20-POLY1305", "3DES_EDE_CBC", "DES-CBC3", "RC4_128", "RC4", "_", "-").Replace(rest)
	if exchange == "RSA" {
		return rest
	}
	return strings.ReplaceAll(exchange, "_", "-") + "-" + rest
}
