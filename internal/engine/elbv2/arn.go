package elbv2

import (
	"crypto/rand"
	"encoding/hex"
	"regexp"
	"strings"
)

// newID returns the 16 hexadecimal digits that end an ARN.
func newID() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // crypto/rand never fails
	return hex.EncodeToString(b[:])
}

func (s *Service) arn(resource string) string {
	return "arn:aws:elasticloadbalancing:" + s.Region + ":" + s.AccountID + ":" + resource
}

// anyID stands for the part of an ARN that is not known yet; AWS judges creates
// by such an ARN.
const anyID = "*"

func (s *Service) balancerARN(name, id string) string {
	return s.arn("loadbalancer/net/" + name + "/" + id)
}

func (s *Service) groupARN(name, id string) string { return s.arn("targetgroup/" + name + "/" + id) }

// listenerARN is that of a listener of a load balancer.
func listenerARN(balancerARN, id string) string {
	return strings.Replace(balancerARN, ":loadbalancer/", ":listener/", 1) + "/" + id
}

// ruleARN is that of a rule of a listener.
func ruleARN(listenerARN, id string) string {
	return strings.Replace(listenerARN, ":listener/", ":listener-rule/", 1) + "/" + id
}

// dnsName is that of a load balancer: NAME-ID.elb.REGION.amazonaws.com. Clients
// tell a network from a classic load balancer by this form.
func (s *Service) dnsName(name, id string) string {
	return name + "-" + id + ".elb." + s.Region + ".amazonaws.com"
}

// noun is a kind of resource that has an ARN.
type noun string

const (
	balancerNoun   noun = "load balancer"
	groupNoun      noun = "target group"
	listenerNoun   noun = "listener"
	ruleNoun       noun = "rule"
	trustStoreNoun noun = "trust store"
	otherNoun      noun = "resource"
)

var arnPattern = regexp.MustCompile(`^arn:aws[a-z-]*:elasticloadbalancing:[a-z0-9-]+:[0-9]{12}:(loadbalancer|targetgroup|listener|listener-rule|truststore)/[A-Za-z0-9/-]+$`)

// nounOf tells what an ARN names; otherNoun for what is no ARN of this service.
func nounOf(arn string) noun {
	match := arnPattern.FindStringSubmatch(arn)
	if match == nil {
		return otherNoun
	}
	return map[string]noun{
		"loadbalancer": balancerNoun, "targetgroup": groupNoun, "listener": listenerNoun,
		"listener-rule": ruleNoun, "truststore": trustStoreNoun,
	}[match[1]]
}

// checkARN refuses what is no ARN of a noun.
func checkARN(n noun, arn string) error {
	if nounOf(arn) != n {
		return invalid("'%s' is not a valid %s ARN", arn, n)
	}
	return nil
}

// hostedZones are AWS's hosted zones for Network Load Balancers (AWS General
// Reference, Elastic Load Balancing endpoints).
var hostedZones = map[string]string{
	"us-east-1": "Z26RNL4JYFTOTI", "us-east-2": "ZLMOA37VPKANP", "us-west-1": "Z24FKFUX50B4VW", "us-west-2": "Z18D5FSROUN65G",
	"eu-west-1": "Z2IFOLAFXWLO4F", "eu-west-2": "ZD4D7Y8KGAS4G", "eu-west-3": "Z1CMS0P5QUZ6D5", "eu-central-1": "Z3F0SRJ5LGBH90",
	"eu-north-1": "Z1UDT6IFJ4EJM", "ap-northeast-1": "Z31USIVHYNEOWT", "ap-southeast-1": "ZKVM4W9LS7TM", "ap-southeast-2": "ZCT6FZBF4DROD",
	"ap-south-1": "ZVDDRBQ08TROA", "ca-central-1": "Z2EPGBW3API2WT", "sa-east-1": "ZTK26PT1VY4CU",
}
