package iam

import (
	"fmt"
	"strings"
)

// Request is what a caller wants to do.
type Request struct {
	Action   string              // such as elasticloadbalancing:CreateLoadBalancer
	Resource string              // its ARN, or * for actions that are about no resource
	Context  map[string][]string // condition keys with their values; names in any case
}

// Decision is the answer, with the statement that gave it.
type Decision struct {
	Allowed   bool
	Explicit  bool   // refused by a statement with Effect Deny
	Policy    string // of the deciding statement; empty when none matched
	Statement string // its Sid or its place
}

// Evaluate judges a request by the policies of an identity.
func Evaluate(policies []*Policy, r Request) Decision {
	context := make(map[string][]string, len(r.Context))
	for key, values := range r.Context {
		key = strings.ToLower(key)
		context[key] = append(context[key], values...)
	}
	var decision Decision
	for _, p := range policies {
		for _, s := range p.statements {
			if decision.Allowed && !s.deny || !s.applies(r, context) {
				continue
			}
			decision = Decision{Allowed: !s.deny, Explicit: s.deny, Policy: p.Name, Statement: s.id}
			if s.deny {
				return decision
			}
		}
	}
	return decision
}

func (s statement) applies(r Request, context map[string][]string) bool {
	if !s.actions.matches(func(p string) bool { return actionLike(p, r.Action) }) ||
		!s.resources.matches(func(p string) bool { return arnLike(p, r.Resource) }) {
		return false
	}
	for _, c := range s.conditions {
		if !c.holds(context[c.key]) {
			return false
		}
	}
	return true
}

// actionLike compares actions without regard to case, as IAM does.
func actionLike(pattern, action string) bool {
	return like(strings.ToLower(pattern), strings.ToLower(action))
}

// Refusal is the text of the error for a principal whose request was refused,
// in AWS's words.
func (d Decision) Refusal(principal string, r Request) string {
	text := fmt.Sprintf("User: %s is not authorized to perform: %s on resource: %s", principal, r.Action, r.Resource)
	if d.Explicit {
		return text + " with an explicit deny in an identity-based policy: " + d.Policy
	}
	return fmt.Sprintf("%s because no identity-based policy allows the %s action", text, r.Action)
}
