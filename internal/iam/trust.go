package iam

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Trust is the trust policy of a role: who may assume it.
type Trust struct{ statements []statement }

// ParseTrust reads a trust policy. Providers are the names of OpenID Connect
// providers, such as oidc.example.com/id, whose claims may be condition keys.
// The error joins every problem found.
func ParseTrust(role string, document []byte, providers []string) (*Trust, error) {
	if len(document) > MaxPolicyBytes {
		return nil, fmt.Errorf("the trust policy of %s has %d bytes, more than %d", role, len(document), MaxPolicyBytes)
	}
	p := &parser{trust: true, providers: providers}
	statements := p.document(document)
	if len(p.problems) > 0 {
		for i, err := range p.problems {
			p.problems[i] = fmt.Errorf("trust policy of %s: %w", role, err)
		}
		return nil, errors.Join(p.problems...)
	}
	return &Trust{statements}, nil
}

// Principal forms: an ARN of a user, role, root or provider, an account, anyone.
var (
	principalARN = regexp.MustCompile(`^arn:aws[a-z-]*:(iam|sts)::[0-9]{12}:.+$`)
	accountID    = regexp.MustCompile(`^[0-9]{12}$`)
)

func (p *parser) principalElement(path string, m member, s *statement) {
	if m.name != "Principal" {
		p.problem(path, "belongs to policies of identities: the resource of a trust policy is its role")
		return
	}
	var anyone string
	if json.Unmarshal(m.value, &anyone) == nil {
		if anyone != "*" {
			p.problem(path, "is %q; valid are * and an object", anyone)
		}
		s.principals = []string{"*"}
		return
	}
	for _, kind := range p.object(path, m.value) {
		at := path + "." + kind.name
		if kind.name != "AWS" && kind.name != "Federated" {
			p.problem(at, "is no kind of principal that is supported; valid are AWS and Federated")
		}
		for _, who := range p.texts(at, kind.value) {
			if who != "*" && !principalARN.MatchString(who) && !(kind.name == "AWS" && accountID.MatchString(who)) {
				p.problem(at, "%q is not an ARN of IAM, an account or *", who)
			}
			s.principals = append(s.principals, who)
		}
	}
}

// knownTrustKey reports whether a condition key, in lower case, is one that only
// requests for a role carry.
func (p *parser) knownTrustKey(key string) bool {
	if !p.trust {
		return false
	}
	name, claim, _ := strings.Cut(key, ":")
	return key == "sts:externalid" || key == "sts:rolesessionname" || slices.Contains([]string{"aud", "sub"}, claim) &&
		slices.ContainsFunc(p.providers, func(provider string) bool { return strings.EqualFold(provider, name) })
}

// Trusted tells how far a trust policy trusts somebody.
type Trusted int

// Levels of trust.
const (
	NotTrusted   Trusted = iota
	Refused              // by a statement with Effect Deny
	TrustedByAll         // as one of an account or of all: a policy of its own has to allow it as well
	TrustedByName
)

// Judge judges a request for a role, by the caller's ARN and account, or by a
// provider's ARN.
func (t *Trust) Judge(r Request, principal, account string) Trusted {
	context := make(map[string][]string, len(r.Context))
	for key, values := range r.Context {
		context[strings.ToLower(key)] = values
	}
	level := NotTrusted
	for _, s := range t.statements {
		found := s.trusts(principal, account)
		if found == NotTrusted || !s.actions.matches(func(p string) bool { return actionLike(p, r.Action) }) ||
			slices.ContainsFunc(s.conditions, func(c condition) bool { return !c.holds(context[c.key]) }) {
			continue
		}
		if s.deny {
			return Refused
		}
		level = max(level, found)
	}
	return level
}

func (s statement) trusts(principal, account string) Trusted {
	root := "arn:aws:iam::" + account + ":root"
	level := NotTrusted
	for _, who := range s.principals {
		switch {
		case who == principal:
			return TrustedByName
		case account != "" && (who == "*" || who == account || who == root):
			level = TrustedByAll
		}
	}
	return level
}
