package awssdk

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	elbv2 "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
)

func certificates(arns []string) []types.Certificate {
	return mapped(arns, func(arn string) types.Certificate { return types.Certificate{CertificateArn: &arn} })
}

// DescribeListenerCertificates implements cloud.Listeners.
func (c *Client) DescribeListenerCertificates(ctx context.Context, arn string) ([]string, error) {
	var out []string
	in := &elbv2.DescribeListenerCertificatesInput{ListenerArn: &arn}
	for {
		page, err := call(ctx, c, "describe certificates of "+nameIn(arn), c.elb.DescribeListenerCertificates, in)
		if err != nil {
			return nil, err
		}
		for _, cert := range page.Certificates {
			if !aws.ToBool(cert.IsDefault) {
				out = append(out, aws.ToString(cert.CertificateArn))
			}
		}
		if in.Marker = page.NextMarker; aws.ToString(in.Marker) == "" {
			return out, nil
		}
	}
}

// AddListenerCertificates implements cloud.Listeners.
func (c *Client) AddListenerCertificates(ctx context.Context, arn string, arns []string) error {
	return run(ctx, c, "add certificates to "+nameIn(arn), c.elb.AddListenerCertificates, &elbv2.AddListenerCertificatesInput{ListenerArn: &arn, Certificates: certificates(arns)})
}

// RemoveListenerCertificates implements cloud.Listeners.
func (c *Client) RemoveListenerCertificates(ctx context.Context, arn string, arns []string) error {
	return run(ctx, c, "remove certificates from "+nameIn(arn), c.elb.RemoveListenerCertificates, &elbv2.RemoveListenerCertificatesInput{ListenerArn: &arn, Certificates: certificates(arns)})
}
