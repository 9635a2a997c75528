// Package iam judges requests by identity-based policies, as AWS IAM does.
//
// [Parse] reads a policy document and refuses it whole when it has anything
// that is not understood: a policy that is half applied allows too much or too
// little and nobody notices. [Evaluate] decides: nothing is allowed that no
// statement allows, and an explicit deny wins.
//
// [ParseTrust] reads the trust policy of a role, which has principals.
//
// Sources: IAM User Guide, "IAM JSON policy elements reference" and "Policy
// evaluation logic". Left out, and refused: principals in policies of identities,
// policy variables, numeric, date and binary operators.
//
// Invariants: the package is pure; a Policy is immutable and may be used from
// many goroutines.
package iam

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// MaxPolicyBytes bounds a policy document. AWS allows 6,144 characters beside
// white space.
const MaxPolicyBytes = 64 << 10

// Policy is a parsed policy document.
type Policy struct {
	Name       string // for messages
	statements []statement
}

type statement struct {
	id         string // its Sid, or its place
	deny       bool
	actions    matchList
	resources  matchList
	conditions []condition
	principals []string // of trust policies: *, ARNs and account IDs
}

// matchList is an element and its negation: Action or NotAction, Resource or
// NotResource.
type matchList struct {
	patterns []string
	negated  bool
}

func (m matchList) matches(match func(pattern string) bool) bool {
	return slices.ContainsFunc(m.patterns, match) != m.negated
}

// Parse reads a policy document. The error joins every problem found, each with
// the place in the document.
func Parse(name string, document []byte) (*Policy, error) {
	if len(document) > MaxPolicyBytes {
		return nil, fmt.Errorf("policy %s has %d bytes, more than %d", name, len(document), MaxPolicyBytes)
	}
	p := &parser{}
	statements := p.document(document)
	if len(p.problems) > 0 {
		for i, err := range p.problems {
			p.problems[i] = fmt.Errorf("policy %s: %w", name, err)
		}
		return nil, errors.Join(p.problems...)
	}
	return &Policy{Name: name, statements: statements}, nil
}

// parser collects problems.
type parser struct {
	problems  []error
	trust     bool     // statements have principals and no resources
	providers []string // of identities, whose claims are condition keys
}

func (p *parser) problem(path, format string, args ...any) {
	p.problems = append(p.problems, fmt.Errorf("%s: %s", path, fmt.Sprintf(format, args...)))
}

// member is a member of a JSON object, in the order of the text.
type member struct {
	name  string
	value json.RawMessage
}

// object takes a JSON object apart. A name that occurs twice is a problem: JSON
// parsers disagree about which one counts.
func (p *parser) object(path string, raw json.RawMessage) []member {
	d := json.NewDecoder(bytes.NewReader(raw))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		p.problem(path, "is not a JSON object")
		return nil
	}
	var members []member
	for d.More() {
		t, err := d.Token()
		name, ok := t.(string)
		var value json.RawMessage
		if err != nil || !ok || d.Decode(&value) != nil {
			p.problem(path, "is not valid JSON")
			return nil
		}
		if slices.ContainsFunc(members, func(m member) bool { return m.name == name }) {
			p.problem(path, "has %q twice", name)
			continue
		}
		members = append(members, member{name, value})
	}
	return members
}

func (p *parser) document(raw []byte) []statement {
	d := json.NewDecoder(bytes.NewReader(raw))
	var whole json.RawMessage
	if err := d.Decode(&whole); err != nil {
		p.problem("document", "is not valid JSON: %v", err)
		return nil
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		p.problem("document", "has more after its JSON value")
	}
	var statements []statement
	found := false
	for _, m := range p.object("document", whole) {
		switch m.name {
		case "Version":
			if v := p.text("Version", m.value); v != "2012-10-17" && v != "2008-10-17" {
				p.problem("Version", "is %q; valid are 2012-10-17 and 2008-10-17", v)
			}
		case "Id":
			p.text("Id", m.value)
		case "Statement":
			found = true
			statements = p.statements(m.value)
		default:
			p.problem(m.name, "is not an element of a policy; valid are Version, Id and Statement")
		}
	}
	if !found {
		p.problem("Statement", "is missing")
	}
	return statements
}

// statements parses one statement or a list.
func (p *parser) statements(raw json.RawMessage) []statement {
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil {
		return []statement{p.statement("Statement", raw)}
	}
	if len(list) == 0 {
		p.problem("Statement", "is an empty list")
	}
	out := make([]statement, len(list))
	for i, s := range list {
		out[i] = p.statement(fmt.Sprintf("Statement[%d]", i), s)
	}
	return out
}

func (p *parser) statement(path string, raw json.RawMessage) statement {
	s := statement{id: path}
	seen := map[string]bool{}
	for _, m := range p.object(path, raw) {
		seen[m.name] = true
		p.element(path, m, &s)
	}
	p.needOne(path, seen, "Effect")
	p.needOne(path, seen, "Action", "NotAction")
	if p.trust {
		p.needOne(path, seen, "Principal")
	} else {
		p.needOne(path, seen, "Resource", "NotResource")
	}
	return s
}

// needOne demands exactly one of the elements.
func (p *parser) needOne(path string, seen map[string]bool, names ...string) {
	n := 0
	for _, name := range names {
		if seen[name] {
			n++
		}
	}
	if n != 1 {
		p.problem(path, "needs exactly one %s, has %d", strings.Join(names, " or "), n)
	}
}

func (p *parser) element(path string, m member, s *statement) {
	at := path + "." + m.name
	if p.trust && (m.name == "Principal" || m.name == "Resource" || m.name == "NotResource") {
		p.principalElement(at, m, s)
		return
	}
	switch m.name {
	case "Sid":
		s.id = p.text(at, m.value)
	case "Effect":
		effect := p.text(at, m.value)
		s.deny = effect == "Deny"
		if effect != "Allow" && effect != "Deny" {
			p.problem(at, "is %q; valid are Allow and Deny", effect)
		}
	case "Action", "NotAction":
		s.actions = matchList{p.patterns(at, m.value, p.checkAction), m.name == "NotAction"}
	case "Resource", "NotResource":
		s.resources = matchList{p.patterns(at, m.value, p.checkResource), m.name == "NotResource"}
	case "Condition":
		s.conditions = p.conditions(at, m.value)
	case "Principal", "NotPrincipal":
		p.problem(at, "belongs to policies of resources, not of users")
	default:
		p.problem(at, "is not an element of a statement")
	}
}

func (p *parser) checkAction(path, pattern string) {
	service, action, ok := strings.Cut(pattern, ":")
	if pattern != "*" && (!ok || service == "" || action == "") {
		p.problem(path, "%q is not an action such as ec2:DescribeVpcs or *", pattern)
	}
}

func (p *parser) checkResource(path, pattern string) {
	if pattern != "*" && !strings.HasPrefix(pattern, "arn:") {
		p.problem(path, "%q is not an ARN or *", pattern)
	}
}

func (p *parser) patterns(path string, raw json.RawMessage, check func(path, pattern string)) []string {
	list := p.texts(path, raw)
	for _, pattern := range list {
		check(path, pattern)
	}
	return list
}

func (p *parser) text(path string, raw json.RawMessage) string {
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		p.problem(path, "is %s, not a string", raw)
	}
	return s
}

// texts parses a scalar or a list of them. Booleans are taken as their text, as
// AWS does in conditions. Policy variables are refused, because they would be
// taken literally.
func (p *parser) texts(path string, raw json.RawMessage) []string {
	var list []any
	if err := json.Unmarshal(raw, &list); err != nil {
		var one any
		if err := json.Unmarshal(raw, &one); err != nil {
			p.problem(path, "is not valid JSON")
			return nil
		}
		list = []any{one}
	}
	if len(list) == 0 {
		p.problem(path, "is an empty list")
	}
	var out []string
	for _, v := range list {
		switch v := v.(type) {
		case string:
			if strings.Contains(v, "${") {
				p.problem(path, "%q has a policy variable; these are not supported", v)
			}
			out = append(out, v)
		case bool:
			out = append(out, fmt.Sprint(v))
		default:
			p.problem(path, "has %v, which is not a string", v)
		}
	}
	return out
}
