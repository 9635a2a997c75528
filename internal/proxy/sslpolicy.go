package proxy

import (
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
)

// cipherIDs are AWS's (OpenSSL's) names of the ciphers that crypto/tls has.
func cipherIDs() map[string]uint16 {
	return map[string]uint16{
		"TLS_AES_128_GCM_SHA256":        tls.TLS_AES_128_GCM_SHA256,
		"TLS_AES_256_GCM_SHA384":        tls.TLS_AES_256_GCM_SHA384,
		"TLS_CHACHA20_POLY1305_SHA256":  tls.TLS_CHACHA20_POLY1305_SHA256,
		"ECDHE-ECDSA-AES128-GCM-SHA256": tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
		"ECDHE-RSA-AES128-GCM-SHA256":   tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
		"ECDHE-ECDSA-AES256-GCM-SHA384": tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
		"ECDHE-RSA-AES256-GCM-SHA384":   tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
		"ECDHE-ECDSA-AES128-SHA256":     tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256,
		"ECDHE-RSA-AES128-SHA256":       tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256,
		"ECDHE-ECDSA-AES128-SHA":        tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA,
		"ECDHE-RSA-AES128-SHA":          tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA,
		"ECDHE-ECDSA-AES256-SHA":        tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA,
		"ECDHE-RSA-AES256-SHA":          tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA,
		"AES128-GCM-SHA256":             tls.TLS_RSA_WITH_AES_128_GCM_SHA256,
		"AES256-GCM-SHA384":             tls.TLS_RSA_WITH_AES_256_GCM_SHA384,
		"AES128-SHA256":                 tls.TLS_RSA_WITH_AES_128_CBC_SHA256,
		"AES128-SHA":                    tls.TLS_RSA_WITH_AES_128_CBC_SHA,
		"AES256-SHA":                    tls.TLS_RSA_WITH_AES_256_CBC_SHA,
		"DES-CBC3-SHA":                  tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA,
	}
}

// Groups of ciphers in AWS's policies.
func suites13() []string {
	return []string{"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}
}

func ecdheGCM() []string {
	return []string{"ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384"}
}

func ecdheSHA2() []string {
	return append(ecdheGCM(), "ECDHE-ECDSA-AES128-SHA256", "ECDHE-RSA-AES128-SHA256", "ECDHE-ECDSA-AES256-SHA384", "ECDHE-RSA-AES256-SHA384")
}

func ecdhe() []string {
	return append(ecdheSHA2(), "ECDHE-ECDSA-AES128-SHA", "ECDHE-RSA-AES128-SHA", "ECDHE-RSA-AES256-SHA", "ECDHE-ECDSA-AES256-SHA")
}

func rsaSHA2() []string {
	return []string{"AES128-GCM-SHA256", "AES128-SHA256", "AES256-GCM-SHA384", "AES256-SHA256"}
}

func rsa() []string { return append(rsaSHA2(), "AES128-SHA", "AES256-SHA") }

func ciphers(groups ...[]string) []string { return slices.Concat(groups...) }

// predefined are AWS's policies by name, of both kinds of load balancers (user
// guides, security policies): the versions and the ciphers.
func predefined(name string) (minVersion, maxVersion uint16, suites []string, ok bool) {
	const tls10, tls11, tls12, tls13 = tls.VersionTLS10, tls.VersionTLS11, tls.VersionTLS12, tls.VersionTLS13
	switch short, _ := strings.CutPrefix(name, "ELBSecurityPolicy-"); short {
	case "2016-08":
		return tls10, tls12, ciphers(ecdhe(), rsa()), true
	case "TLS-1-0-2015-04", "2015-05":
		return tls10, tls12, ciphers(ecdhe(), rsa(), []string{"DES-CBC3-SHA"}), true
	case "2015-02":
		return tls10, tls12, ciphers(ecdhe(), rsa(), []string{"DHE-RSA-AES128-SHA", "DHE-DSS-AES128-SHA"}), true
	case "2015-03":
		return tls10, tls12, ciphers(ecdhe(), rsa(), []string{"DHE-RSA-AES128-SHA", "DHE-DSS-AES128-SHA", "DES-CBC3-SHA"}), true
	case "TLS-1-1-2017-01":
		return tls11, tls12, ciphers(ecdhe(), rsa()), true
	case "TLS-1-2-2017-01":
		return tls12, tls12, ciphers(ecdheSHA2(), rsaSHA2()), true
	case "TLS-1-2-Ext-2018-06":
		return tls12, tls12, ciphers(ecdhe(), rsa()), true
	case "FS-2018-06":
		return tls10, tls12, ecdhe(), true
	case "FS-1-1-2019-08":
		return tls11, tls12, ecdhe(), true
	case "FS-1-2-2019-08":
		return tls12, tls12, ecdhe(), true
	case "FS-1-2-Res-2019-08":
		return tls12, tls12, ecdheSHA2(), true
	case "FS-1-2-Res-2020-10":
		return tls12, tls12, ecdheGCM(), true
	case "TLS13-1-0-2021-06":
		return tls10, tls13, ciphers(suites13(), ecdhe(), rsa()), true
	case "TLS13-1-1-2021-06":
		return tls11, tls13, ciphers(suites13(), ecdhe(), rsa()), true
	case "TLS13-1-2-2021-06":
		return tls12, tls13, ciphers(suites13(), ecdheSHA2()), true
	case "TLS13-1-2-Ext1-2021-06":
		return tls12, tls13, ciphers(suites13(), ecdheSHA2(), rsaSHA2()), true
	case "TLS13-1-2-Ext2-2021-06":
		return tls12, tls13, ciphers(suites13(), ecdhe(), rsa()), true
	case "TLS13-1-2-Res-2021-06":
		return tls12, tls13, ciphers(suites13(), ecdheGCM()), true
	case "TLS13-1-3-2021-06":
		return tls13, tls13, suites13(), true
	}
	return 0, 0, nil, false
}

// PredefinedPolicy is AWS's policy of a name, such as
// ELBSecurityPolicy-TLS13-1-2-2021-06.
//
// Ciphers of it that crypto/tls does not have are returned as missing: a client
// that offers nothing else is refused in its handshake. No policy becomes weaker
// that way, and none of AWS's loses all its ciphers.
func PredefinedPolicy(name string) (policy SecurityPolicy, missing []string, err error) {
	minVersion, maxVersion, names, ok := predefined(name)
	if !ok || !strings.HasPrefix(name, "ELBSecurityPolicy-") {
		return policy, nil, fmt.Errorf("security policy %q is not one of AWS's that a listener can have here", name)
	}
	ids := cipherIDs()
	policy = SecurityPolicy{Name: name, MinVersion: minVersion, MaxVersion: maxVersion}
	for _, n := range names {
		if id, ok := ids[n]; !ok {
			missing = append(missing, n)
		} else if !slices.Contains(suites13(), n) {
			policy.CipherSuites = append(policy.CipherSuites, id)
		}
	}
	return policy, missing, nil
}

// mustPolicy is for names that this package spells itself.
func mustPolicy(name string) SecurityPolicy {
	p, _, err := PredefinedPolicy(name)
	if err != nil {
		panic(err)
	}
	return p
}

// CustomPolicy is an SSL negotiation policy of a Classic Load Balancer, made of
// the attributes that are on, such as Protocol-TLSv1.2 or AES128-SHA. Whoever
// picked ciphers one by one is told of all that cannot be served.
func CustomPolicy(name string, on []string) (SecurityPolicy, error) {
	p := SecurityPolicy{Name: name}
	ids := cipherIDs()
	var versions []uint16
	var refused []string
	for _, attribute := range on {
		if attribute == "Server-Defined-Cipher-Order" {
			continue // crypto/tls always goes by an order of its own
		}
		if v, ok := protocolVersion(attribute); ok {
			versions = append(versions, v)
		} else if id, ok := ids[attribute]; ok {
			p.CipherSuites = append(p.CipherSuites, id)
		} else {
			refused = append(refused, attribute)
		}
	}
	slices.Sort(versions)
	switch {
	case len(refused) > 0:
		return p, fmt.Errorf("SSL negotiation policy %q: this load balancer cannot serve %s", name, strings.Join(refused, ", "))
	case len(versions) == 0:
		return p, fmt.Errorf("SSL negotiation policy %q: no protocol is on; turn on one of Protocol-TLSv1, Protocol-TLSv1.1 and Protocol-TLSv1.2", name)
	case int(versions[len(versions)-1]-versions[0]) != len(versions)-1:
		return p, fmt.Errorf("SSL negotiation policy %q: versions of TLS must not have gaps: turn on Protocol-TLSv1.1, too", name)
	case len(p.CipherSuites) == 0:
		return p, fmt.Errorf("SSL negotiation policy %q: no cipher is on", name)
	}
	p.MinVersion, p.MaxVersion = versions[0], versions[len(versions)-1]
	return p, nil
}

func protocolVersion(attribute string) (uint16, bool) {
	switch attribute {
	case "Protocol-TLSv1":
		return tls.VersionTLS10, true
	case "Protocol-TLSv1.1":
		return tls.VersionTLS11, true
	case "Protocol-TLSv1.2":
		return tls.VersionTLS12, true
	}
	return 0, false
}
