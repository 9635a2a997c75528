package ec2

import (
	"context"
	"slices"
	"strings"
)

type describeAccountAttributesInput struct {
	DryRun
	Names []string `ec2:"AttributeName"`
}

type describeAccountAttributesOutput struct {
	Attributes []accountAttribute `ec2:"AccountAttributeSet"`
}

type accountAttribute struct {
	Name   string           `ec2:"AttributeName"`
	Values []attributeValue `ec2:"AttributeValueSet"`
}

type attributeValue struct {
	Value string `ec2:"AttributeValue"`
}

func (s *Service) describeAccountAttributes(ctx context.Context, in *describeAccountAttributesInput) (*describeAccountAttributesOutput, error) {
	if err := s.allowRead(ctx, "DescribeAccountAttributes", in.DryRun); err != nil {
		return nil, err
	}
	defaultVPC := "none"
	if v, ok := s.network().defaultVPC(); ok {
		defaultVPC = v.VPCID
	}
	var out describeAccountAttributesOutput
	for _, a := range [][2]string{
		{"default-vpc", defaultVPC}, {"max-elastic-ips", "5"}, {"max-instances", "20"}, {"supported-platforms", "VPC"},
		{"vpc-max-elastic-ips", "5"}, {"vpc-max-security-groups-per-interface", "5"},
	} {
		if len(in.Names) == 0 || slices.Contains(in.Names, a[0]) {
			out.Attributes = append(out.Attributes, accountAttribute{a[0], []attributeValue{{a[1]}}})
		}
	}
	if len(out.Attributes) < len(in.Names) {
		return nil, invalidValue("Value (%s) for parameter attributeName is invalid", strings.Join(in.Names, ", "))
	}
	return &out, nil
}
