package iam

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
)

// condition is one operator on one key with its values.
type condition struct {
	operator operator
	negated  bool
	set      setOperator
	ifExists bool
	key      string // lower case
	values   []string
}

// operator says whether a value of the request matches a value of the policy.
type operator func(requested, policy string) bool

// setOperator says how many values of the request have to match.
type setOperator int

const (
	oneValue setOperator = iota
	forAllValues
	forAnyValue
)

// operators by name. "Not" ones are in negatedOperators.
var operators = map[string]operator{
	"StringEquals":           func(r, p string) bool { return r == p },
	"StringEqualsIgnoreCase": strings.EqualFold,
	"StringLike":             func(r, p string) bool { return like(p, r) },
	"ArnEquals":              func(r, p string) bool { return arnLike(p, r) },
	"ArnLike":                func(r, p string) bool { return arnLike(p, r) },
	"Bool":                   strings.EqualFold,
	"IpAddress":              inNetwork,
	"Null":                   nil, // judged by the key's presence
}

// negatedOperators are true when no value of the policy matches.
var negatedOperators = map[string]string{
	"StringNotEquals":           "StringEquals",
	"StringNotEqualsIgnoreCase": "StringEqualsIgnoreCase",
	"StringNotLike":             "StringLike",
	"ArnNotEquals":              "ArnEquals",
	"ArnNotLike":                "ArnLike",
	"NotIpAddress":              "IpAddress",
}

// keys that requests carry, in lower case as key names are compared; a slash at
// the end stands for any tag key.
var keys = []string{
	"aws:principalarn",
	"aws:requestedregion",
	"aws:requesttag/",
	"aws:resourcetag/",
	"aws:securetransport",
	"aws:sourceip",
	"aws:tagkeys",
	"aws:username",
	"ec2:createaction",
	"ec2:region",
	"ec2:resourcetag/",
	"ec2:vpc",
	"elasticloadbalancing:createaction",
	"elasticloadbalancing:listenerprotocol",
	"elasticloadbalancing:resourcetag/",
	"elasticloadbalancing:scheme",
	"elasticloadbalancing:securitygroup",
	"elasticloadbalancing:securitypolicy",
	"elasticloadbalancing:subnet",
	"iam:awsservicename",
}

func knownKey(key string) bool {
	return slices.ContainsFunc(keys, func(known string) bool {
		if prefix, ok := strings.CutSuffix(known, "/"); ok {
			tag, ok := strings.CutPrefix(key, prefix+"/")
			return ok && tag != ""
		}
		return key == known
	})
}

func (p *parser) conditions(path string, raw json.RawMessage) []condition {
	var out []condition
	for _, op := range p.object(path, raw) {
		at := path + "." + op.name
		template, ok := parseOperator(op.name)
		if !ok {
			p.problem(at, "is not a condition operator that is supported")
		}
		for _, key := range p.object(at, op.value) {
			c := template
			c.key, c.values = strings.ToLower(key.name), p.texts(at+"."+key.name, key.value)
			if !knownKey(c.key) && !p.knownTrustKey(c.key) {
				p.problem(at+"."+key.name, "is not a condition key that is supported")
			}
			p.checkValues(at+"."+key.name, op.name, c.values)
			out = append(out, c)
		}
	}
	return out
}

// parseOperator takes a name such as ForAllValues:StringNotLikeIfExists apart.
func parseOperator(name string) (condition, bool) {
	var c condition
	if rest, ok := strings.CutPrefix(name, "ForAllValues:"); ok {
		c.set, name = forAllValues, rest
	} else if rest, ok := strings.CutPrefix(name, "ForAnyValue:"); ok {
		c.set, name = forAnyValue, rest
	}
	name, c.ifExists = strings.CutSuffix(name, "IfExists")
	if positive, ok := negatedOperators[name]; ok {
		c.negated, name = true, positive
	}
	op, ok := operators[name]
	c.operator = op
	if name == "Null" && (c.ifExists || c.set != oneValue) {
		return c, false
	}
	return c, ok
}

// checkValues refuses values that could never match.
func (p *parser) checkValues(path, operator string, values []string) {
	for _, v := range values {
		switch {
		case strings.Contains(operator, "IpAddress"):
			if _, err := parseNetwork(v); err != nil {
				p.problem(path, "%q is not an address or CIDR block", v)
			}
		case strings.Contains(operator, "Bool") || operator == "Null":
			if v != "true" && v != "false" {
				p.problem(path, "%q is not true or false", v)
			}
		case strings.Contains(operator, "Arn"):
			if v != "*" && !strings.HasPrefix(v, "arn:") {
				p.problem(path, "%q is not an ARN or *", v)
			}
		}
	}
}

// holds judges a condition for the values that the request has for its key.
func (c condition) holds(requested []string) bool {
	absent := len(requested) == 0
	if c.operator == nil { // Null
		return slices.Contains(c.values, boolText(absent))
	}
	satisfies := func(r string) bool {
		return slices.ContainsFunc(c.values, func(v string) bool { return c.operator(r, v) }) != c.negated
	}
	switch {
	case absent && c.ifExists:
		return true
	case c.set == forAllValues:
		return !slices.ContainsFunc(requested, func(r string) bool { return !satisfies(r) })
	case c.set == forAnyValue:
		return slices.ContainsFunc(requested, satisfies)
	case absent:
		return c.negated
	case c.negated: // without a set operator no value may match
		return !slices.ContainsFunc(requested, func(r string) bool { return !satisfies(r) })
	}
	return slices.ContainsFunc(requested, satisfies)
}

func boolText(b bool) string {
	if b {
		return "true"
	}
	return "false"
}

func inNetwork(requested, policy string) bool {
	addr, err := netip.ParseAddr(requested)
	if err != nil {
		return false
	}
	network, err := parseNetwork(policy)
	return err == nil && network.Contains(addr)
}

// parseNetwork reads a CIDR block, or an address as a block of its own.
func parseNetwork(s string) (netip.Prefix, error) {
	if strings.Contains(s, "/") {
		return netip.ParsePrefix(s)
	}
	addr, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Prefix{}, err
	}
	return netip.PrefixFrom(addr, addr.BitLen()), nil
}
