package proxy

import (
	"crypto/tls"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func policyNames() []string {
	return []string{
		"ELBSecurityPolicy-2015-02", "ELBSecurityPolicy-2015-03", "ELBSecurityPolicy-2015-05", "ELBSecurityPolicy-2016-08",
		"ELBSecurityPolicy-FS-1-1-2019-08", "ELBSecurityPolicy-FS-1-2-2019-08", "ELBSecurityPolicy-FS-1-2-Res-2019-08",
		"ELBSecurityPolicy-FS-1-2-Res-2020-10", "ELBSecurityPolicy-FS-2018-06", "ELBSecurityPolicy-TLS-1-0-2015-04",
		"ELBSecurityPolicy-TLS-1-1-2017-01", "ELBSecurityPolicy-TLS-1-2-2017-01", "ELBSecurityPolicy-TLS-1-2-Ext-2018-06",
		"ELBSecurityPolicy-TLS13-1-0-2021-06", "ELBSecurityPolicy-TLS13-1-1-2021-06", "ELBSecurityPolicy-TLS13-1-2-2021-06",
		"ELBSecurityPolicy-TLS13-1-2-Ext1-2021-06", "ELBSecurityPolicy-TLS13-1-2-Ext2-2021-06",
		"ELBSecurityPolicy-TLS13-1-2-Res-2021-06", "ELBSecurityPolicy-TLS13-1-3-2021-06",
	}
}

func TestEveryPredefinedPolicyCanBeServed(t *testing.T) {
	// What crypto/tls does not have, in every policy that names it.
	never := []string{"ECDHE-ECDSA-AES256-SHA384", "ECDHE-RSA-AES256-SHA384", "AES256-SHA256", "DHE-RSA-AES128-SHA", "DHE-DSS-AES128-SHA"}
	for _, name := range policyNames() {
		p, missing, err := PredefinedPolicy(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if p.MaxVersion < p.MinVersion || p.MinVersion < tls.VersionTLS10 || p.MinVersion < tls.VersionTLS13 && len(p.CipherSuites) == 0 {
			t.Errorf("%s serves nobody: %+v", name, p)
		}
		for _, m := range missing {
			if !slices.Contains(never, m) {
				t.Errorf("%s: %s is missing although crypto/tls has it", name, m)
			}
		}
	}
}

func TestPredefinedPoliciesInCryptoTLSWords(t *testing.T) {
	got, missing, err := PredefinedPolicy("ELBSecurityPolicy-TLS13-1-2-2021-06")
	if err != nil {
		t.Fatal(err)
	}
	want := SecurityPolicy{
		Name: "ELBSecurityPolicy-TLS13-1-2-2021-06", MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS13,
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256,
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("policy (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"ECDHE-ECDSA-AES256-SHA384", "ECDHE-RSA-AES256-SHA384"}, missing); diff != "" {
		t.Errorf("missing (-want +got):\n%s", diff)
	}
}

func TestUnknownPoliciesAreRefused(t *testing.T) {
	for _, name := range []string{"", "2016-08", "ELBSecurityPolicy-2011-08", "ELBSecurityPolicy-TLS13-1-2-FIPS-2023-04"} {
		if _, _, err := PredefinedPolicy(name); err == nil || !strings.Contains(err.Error(), `"`+name+`"`) {
			t.Errorf("%q: got error %v, want one that names it", name, err)
		}
	}
}

func TestCustomPolicies(t *testing.T) {
	got, err := CustomPolicy("mine", []string{"Protocol-TLSv1.2", "Protocol-TLSv1.1", "Server-Defined-Cipher-Order", "AES128-SHA", "ECDHE-RSA-AES128-GCM-SHA256"})
	if err != nil {
		t.Fatal(err)
	}
	want := SecurityPolicy{Name: "mine", MinVersion: tls.VersionTLS11, MaxVersion: tls.VersionTLS12,
		CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("policy (-want +got):\n%s", diff)
	}
	for name, test := range map[string]struct {
		on   []string
		want string
	}{
		"ciphers that crypto/tls lacks are all named": {[]string{"Protocol-TLSv1.2", "DHE-RSA-AES128-SHA", "AES128-SHA", "AES256-SHA256"}, "DHE-RSA-AES128-SHA, AES256-SHA256"},
		"SSL 3 is refused":                            {[]string{"Protocol-SSLv3", "AES128-SHA"}, "Protocol-SSLv3"},
		"a protocol is needed":                        {[]string{"AES128-SHA"}, "no protocol"},
		"a cipher is needed":                          {[]string{"Protocol-TLSv1.2"}, "no cipher"},
		"a gap between protocols":                     {[]string{"Protocol-TLSv1", "Protocol-TLSv1.2", "AES128-SHA"}, "Protocol-TLSv1.1"},
	} {
		if _, err := CustomPolicy("mine", test.on); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got error %v, want one with %q", name, err, test.want)
		}
	}
}
