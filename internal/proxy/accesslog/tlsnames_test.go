package accesslog

import "testing"

func TestOpenSSLNames(t *testing.T) {
	for iana, want := range map[string]string{
		"TLS_AES_128_GCM_SHA256":                      "TLS_AES_128_GCM_SHA256",
		"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256":       "ECDHE-RSA-AES128-GCM-SHA256",
		"TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA":        "ECDHE-ECDSA-AES256-SHA",
		"TLS_RSA_WITH_AES_128_CBC_SHA256":             "AES128-SHA256",
		"TLS_RSA_WITH_3DES_EDE_CBC_SHA":               "DES-CBC3-SHA",
		"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
	} {
		if got := openSSLName(iana); got != want {
			t.Errorf("%s: got %s, want %s", iana, got, want)
		}
	}
}
