package elbv2

import (
	"context"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/fairlead-lb/fairlead/internal/engine/balancing"
	"github.com/fairlead-lb/fairlead/internal/wire"
)

// Building blocks of AWS's security policies (NLB user guide, security
// policies): protocols and groups of ciphers, strongest first.
var (
	tls13Only  = []string{"TLSv1.3"}
	tls12Only  = []string{"TLSv1.2"}
	tls12to13  = []string{"TLSv1.2", "TLSv1.3"}
	tls11up    = []string{"TLSv1.1", "TLSv1.2"}
	tls10up    = []string{"TLSv1", "TLSv1.1", "TLSv1.2"}
	tls11to13  = []string{"TLSv1.1", "TLSv1.2", "TLSv1.3"}
	tls10to13  = []string{"TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"}
	suites13   = []string{"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}
	ecdheGCM   = []string{"ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384"}
	ecdheSHA2  = []string{"ECDHE-ECDSA-AES128-SHA256", "ECDHE-RSA-AES128-SHA256", "ECDHE-ECDSA-AES256-SHA384", "ECDHE-RSA-AES256-SHA384"}
	ecdheSHA1  = []string{"ECDHE-ECDSA-AES128-SHA", "ECDHE-RSA-AES128-SHA", "ECDHE-RSA-AES256-SHA", "ECDHE-ECDSA-AES256-SHA"}
	rsaGCMSHA2 = []string{"AES128-GCM-SHA256", "AES128-SHA256", "AES256-GCM-SHA384", "AES256-SHA256"}
	rsaSHA1    = []string{"AES128-SHA", "AES256-SHA"}
	rsa3DES    = []string{"DES-CBC3-SHA"}
)

// sslPolicy is a security policy of TLS listeners.
type sslPolicy struct {
	name      string
	protocols []string
	ciphers   [][]string
}

var sslPolicies = []sslPolicy{
	{"ELBSecurityPolicy-2016-08", tls10up, [][]string{ecdheGCM, ecdheSHA2, ecdheSHA1, rsaGCMSHA2, rsaSHA1}},
	{"ELBSecurityPolicy-FS-1-1-2019-08", tls11up, [][]string{ecdheGCM, ecdheSHA2, ecdheSHA1}},
	{"ELBSecurityPolicy-FS-1-2-2019-08", tls12Only, [][]string{ecdheGCM, ecdheSHA2, ecdheSHA1}},
	{"ELBSecurityPolicy-FS-1-2-Res-2019-08", tls12Only, [][]string{ecdheGCM, ecdheSHA2}},
	{"ELBSecurityPolicy-FS-1-2-Res-2020-10", tls12Only, [][]string{ecdheGCM}},
	{"ELBSecurityPolicy-FS-2018-06", tls10up, [][]string{ecdheGCM, ecdheSHA2, ecdheSHA1}},
	{"ELBSecurityPolicy-TLS-1-0-2015-04", tls10up, [][]string{ecdheGCM, ecdheSHA2, ecdheSHA1, rsaGCMSHA2, rsaSHA1, rsa3DES}},
	{"ELBSecurityPolicy-TLS-1-1-2017-01", tls11up, [][]string{ecdheGCM, ecdheSHA2, ecdheSHA1, rsaGCMSHA2, rsaSHA1}},
	{"ELBSecurityPolicy-TLS-1-2-2017-01", tls12Only, [][]string{ecdheGCM, ecdheSHA2, rsaGCMSHA2}},
	{"ELBSecurityPolicy-TLS-1-2-Ext-2018-06", tls12Only, [][]string{ecdheGCM, ecdheSHA2, ecdheSHA1, rsaGCMSHA2, rsaSHA1}},
	{"ELBSecurityPolicy-TLS13-1-0-2021-06", tls10to13, [][]string{suites13, ecdheGCM, ecdheSHA2, ecdheSHA1, rsaGCMSHA2, rsaSHA1}},
	{"ELBSecurityPolicy-TLS13-1-1-2021-06", tls11to13, [][]string{suites13, ecdheGCM, ecdheSHA2, ecdheSHA1, rsaGCMSHA2, rsaSHA1}},
	{"ELBSecurityPolicy-TLS13-1-2-2021-06", tls12to13, [][]string{suites13, ecdheGCM, ecdheSHA2}},
	{"ELBSecurityPolicy-TLS13-1-2-Ext1-2021-06", tls12to13, [][]string{suites13, ecdheGCM, ecdheSHA2, rsaGCMSHA2}},
	{"ELBSecurityPolicy-TLS13-1-2-Ext2-2021-06", tls12to13, [][]string{suites13, ecdheGCM, ecdheSHA2, ecdheSHA1, rsaGCMSHA2, rsaSHA1}},
	{"ELBSecurityPolicy-TLS13-1-2-Res-2021-06", tls12to13, [][]string{suites13, ecdheGCM}},
	{"ELBSecurityPolicy-TLS13-1-3-2021-06", tls13Only, [][]string{suites13}},
}

func knownSSLPolicy(name string) bool {
	return slices.ContainsFunc(sslPolicies, func(p sslPolicy) bool { return p.name == name })
}

func (s *Service) describeSSLPolicies(ctx context.Context, in *elb.DescribeSSLPoliciesInput) (*elb.DescribeSSLPoliciesOutput, error) {
	if err := s.AllowAll(ctx, "DescribeSSLPolicies"); err != nil {
		return nil, err
	}
	c, err := balancing.NewCursor(in.Marker, in.PageSize)
	if err != nil {
		return nil, err
	}
	for _, name := range in.Names {
		if !knownSSLPolicy(name) {
			return nil, wire.Errorf("SSLPolicyNotFound", "SSL policy '%s' not found", name)
		}
	}
	wanted := slices.DeleteFunc(slices.Clone(sslPolicies), func(p sslPolicy) bool {
		return len(in.Names) > 0 && !slices.Contains(in.Names, p.name)
	})
	found, next := balancing.Page(c, slices.Values(wanted), func(p sslPolicy) string { return p.name })
	return &elb.DescribeSSLPoliciesOutput{SslPolicies: balancing.Convert(found, describeSSLPolicy), NextMarker: next}, nil
}

func describeSSLPolicy(p sslPolicy) types.SslPolicy {
	out := types.SslPolicy{Name: &p.name, SslProtocols: p.protocols, SupportedLoadBalancerTypes: []string{"application", "network"}}
	for i, name := range slices.Concat(p.ciphers...) {
		out.Ciphers = append(out.Ciphers, types.Cipher{Name: &name, Priority: aws.Int32(int32(i + 1))})
	}
	return out
}
