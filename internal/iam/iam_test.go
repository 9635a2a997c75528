package iam

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const (
	group    = "arn:aws:ec2:us-west-2:000000000000:security-group/sg-1"
	balancer = "arn:aws:elasticloadbalancing:us-west-2:000000000000:loadbalancer/net/web/0123456789abcdef"
)

func parse(t *testing.T, statements ...string) *Policy {
	t.Helper()
	p, err := Parse("test", []byte(`{"Version":"2012-10-17","Statement":[`+strings.Join(statements, ",")+`]}`))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestStatementsDecide(t *testing.T) {
	const allowAll = `{"Effect":"Allow","Action":"*","Resource":"*"}`
	create := Request{Action: "elasticloadbalancing:CreateLoadBalancer", Resource: balancer}
	for name, tc := range map[string]struct {
		statements []string
		request    Request
		want       Decision
	}{
		"nothing is allowed that no statement allows": {[]string{`{"Effect":"Allow","Action":"ec2:*","Resource":"*"}`}, create, Decision{}},
		"an allow allows": {[]string{`{"Sid":"all","Effect":"Allow","Action":"*","Resource":"*"}`}, create,
			Decision{Allowed: true, Policy: "test", Statement: "all"}},
		"a deny wins over an allow before it": {[]string{allowAll, `{"Effect":"Deny","Action":"*:Create*","Resource":"*"}`}, create,
			Decision{Explicit: true, Policy: "test", Statement: "Statement[1]"}},
		"a deny wins over an allow after it": {[]string{`{"Effect":"Deny","Action":"elasticloadbalancing:*","Resource":"*"}`, allowAll}, create,
			Decision{Explicit: true, Policy: "test", Statement: "Statement[0]"}},
		"actions are compared without case": {[]string{`{"Effect":"Allow","Action":["a:b","ELASTICLOADBALANCING:createloadBALANCER"],"Resource":"*"}`}, create,
			Decision{Allowed: true, Policy: "test", Statement: "Statement[0]"}},
		"NotAction covers all others": {[]string{`{"Effect":"Allow","NotAction":"ec2:*","Resource":"*"}`}, create,
			Decision{Allowed: true, Policy: "test", Statement: "Statement[0]"}},
		"NotAction leaves out its own": {[]string{`{"Effect":"Allow","NotAction":"elasticloadbalancing:Create*","Resource":"*"}`}, create, Decision{}},
		"a resource pattern": {[]string{`{"Effect":"Allow","Action":"*","Resource":"arn:aws:elasticloadbalancing:*:*:loadbalancer/net/*/*"}`}, create,
			Decision{Allowed: true, Policy: "test", Statement: "Statement[0]"}},
		"a resource pattern does not reach over colons": {[]string{`{"Effect":"Allow","Action":"*","Resource":"arn:aws:*:loadbalancer/net/web/0123456789abcdef"}`}, create, Decision{}},
		"a resource pattern with its end left out": {[]string{`{"Effect":"Allow","Action":"*","Resource":"arn:aws:elasticloadbalancing"}`}, create,
			Decision{Allowed: true, Policy: "test", Statement: "Statement[0]"}},
		"resources are compared with case": {[]string{`{"Effect":"Allow","Action":"*","Resource":"arn:aws:elasticloadbalancing:*:*:loadbalancer/net/WEB/*"}`}, create, Decision{}},
		"NotResource leaves out its own":   {[]string{`{"Effect":"Allow","Action":"*","NotResource":["arn:aws:elasticloadbalancing:*"]}`}, create, Decision{}},
		"an action about no resource needs *": {[]string{`{"Effect":"Allow","Action":"*","Resource":"arn:aws:ec2:*:*:*"}`},
			Request{Action: "ec2:DescribeVpcs", Resource: "*"}, Decision{}},
		"all conditions must hold": {[]string{`{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:username":"a","ec2:vpc":"v"}}}`},
			Request{Action: "ec2:X", Resource: "*", Context: map[string][]string{"aws:username": {"a"}}}, Decision{}},
	} {
		t.Run(name, func(t *testing.T) {
			got := Evaluate([]*Policy{parse(t, tc.statements...)}, tc.request)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestConditions(t *testing.T) {
	const tag = "aws:RequestTag/team"
	for name, tc := range map[string]struct {
		condition string
		context   map[string][]string
		want      bool
	}{
		"equal":                          {`"StringEquals":{"aws:RequestTag/team":"a"}`, map[string][]string{tag: {"a"}}, true},
		"one of several":                 {`"StringEquals":{"aws:RequestTag/team":["x","a"]}`, map[string][]string{tag: {"a"}}, true},
		"not equal":                      {`"StringEquals":{"aws:RequestTag/team":"a"}`, map[string][]string{tag: {"A"}}, false},
		"absent is not equal":            {`"StringEquals":{"aws:RequestTag/team":"a"}`, nil, false},
		"absent is fine with IfExists":   {`"StringEqualsIfExists":{"aws:RequestTag/team":"a"}`, nil, true},
		"present counts with IfExists":   {`"StringEqualsIfExists":{"aws:RequestTag/team":"a"}`, map[string][]string{tag: {"b"}}, false},
		"key names have no case":         {`"StringEquals":{"AWS:requestTAG/Team":"a"}`, map[string][]string{tag: {"a"}}, true},
		"unequal":                        {`"StringNotEquals":{"aws:RequestTag/team":["a","b"]}`, map[string][]string{tag: {"c"}}, true},
		"unequal to one of several":      {`"StringNotEquals":{"aws:RequestTag/team":["a","b"]}`, map[string][]string{tag: {"b"}}, false},
		"absent is unequal":              {`"StringNotEquals":{"aws:RequestTag/team":"a"}`, nil, true},
		"without case":                   {`"StringEqualsIgnoreCase":{"aws:RequestTag/team":"ÄB"}`, map[string][]string{tag: {"äb"}}, true},
		"unlike without case":            {`"StringNotEqualsIgnoreCase":{"aws:RequestTag/team":"AB"}`, map[string][]string{tag: {"ab"}}, false},
		"like":                           {`"StringLike":{"aws:RequestTag/team":"a*c?"}`, map[string][]string{tag: {"abbcd"}}, true},
		"unlike":                         {`"StringNotLike":{"aws:RequestTag/team":"a*"}`, map[string][]string{tag: {"ab"}}, false},
		"an empty value is there":        {`"Null":{"aws:RequestTag/team":"false"}`, map[string][]string{tag: {""}}, true},
		"null":                           {`"Null":{"aws:RequestTag/team":"true"}`, nil, true},
		"null, but there":                {`"Null":{"aws:RequestTag/team":"true"}`, map[string][]string{tag: {"a"}}, false},
		"not null, as a JSON boolean":    {`"Null":{"aws:RequestTag/team":false}`, map[string][]string{tag: {"a"}}, true},
		"bool":                           {`"Bool":{"aws:SecureTransport":"true"}`, map[string][]string{"aws:SecureTransport": {"true"}}, true},
		"bool, other":                    {`"Bool":{"aws:SecureTransport":"true"}`, map[string][]string{"aws:SecureTransport": {"false"}}, false},
		"ARN":                            {`"ArnLike":{"ec2:Vpc":"arn:aws:ec2:*:*:vpc/vpc-?"}`, map[string][]string{"ec2:Vpc": {"arn:aws:ec2:us-west-2:1:vpc/vpc-1"}}, true},
		"ARN equality has wildcards":     {`"ArnEquals":{"ec2:Vpc":"arn:aws:ec2:*:*:vpc/*"}`, map[string][]string{"ec2:Vpc": {"arn:aws:ec2:us-west-2:1:vpc/vpc-1"}}, true},
		"not the ARN":                    {`"ArnNotLike":{"ec2:Vpc":"arn:aws:ec2:*:*:vpc/*"}`, map[string][]string{"ec2:Vpc": {"arn:aws:ec2:us-west-2:1:vpc/vpc-1"}}, false},
		"address in a block":             {`"IpAddress":{"aws:SourceIp":["10.0.0.0/8","2001:db8::/32"]}`, map[string][]string{"aws:SourceIp": {"2001:db8::1"}}, true},
		"address alone":                  {`"IpAddress":{"aws:SourceIp":"10.0.0.1"}`, map[string][]string{"aws:SourceIp": {"10.0.0.2"}}, false},
		"address not in a block":         {`"NotIpAddress":{"aws:SourceIp":"10.0.0.0/8"}`, map[string][]string{"aws:SourceIp": {"198.18.0.1"}}, true},
		"all tag keys":                   {`"ForAllValues:StringEquals":{"aws:TagKeys":["a","b"]}`, map[string][]string{"aws:TagKeys": {"b", "a"}}, true},
		"all tag keys but one":           {`"ForAllValues:StringEquals":{"aws:TagKeys":["a","b"]}`, map[string][]string{"aws:TagKeys": {"b", "c"}}, false},
		"all of none":                    {`"ForAllValues:StringEquals":{"aws:TagKeys":["a","b"]}`, nil, true},
		"all differ":                     {`"ForAllValues:StringNotEquals":{"aws:TagKeys":["a","b"]}`, map[string][]string{"aws:TagKeys": {"c", "a"}}, false},
		"any tag key":                    {`"ForAnyValue:StringLike":{"aws:TagKeys":"a*"}`, map[string][]string{"aws:TagKeys": {"b", "ab"}}, true},
		"any of none":                    {`"ForAnyValue:StringLike":{"aws:TagKeys":"*"}`, nil, false},
		"any of none, with IfExists":     {`"ForAnyValue:StringLikeIfExists":{"aws:TagKeys":"*"}`, nil, true},
		"any differs":                    {`"ForAnyValue:StringNotEquals":{"aws:TagKeys":"a"}`, map[string][]string{"aws:TagKeys": {"a", "b"}}, true},
		"several values, no set":         {`"StringEquals":{"aws:TagKeys":"a"}`, map[string][]string{"aws:TagKeys": {"b", "a"}}, true},
		"several values unequal, no set": {`"StringNotEquals":{"aws:TagKeys":"a"}`, map[string][]string{"aws:TagKeys": {"b", "a"}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			p := parse(t, `{"Effect":"Allow","Action":"*","Resource":"*","Condition":{`+tc.condition+`}}`)
			got := Evaluate([]*Policy{p}, Request{Action: "ec2:CreateTags", Resource: group, Context: tc.context})
			if got.Allowed != tc.want {
				t.Errorf("allowed is %t, want %t", got.Allowed, tc.want)
			}
		})
	}
}

func TestAPolicyThatIsNotUnderstoodIsRefusedWithAllItsProblems(t *testing.T) {
	const document = `{
	  "Version": "2020-01-01", "Ident": "x",
	  "Statement": [
	    {"Effect": "Permit", "Action": ["ec2", "ec2:*"], "Resource": "bucket"},
	    {"Effect": "Allow", "Action": "*", "NotAction": "*", "Resource": [], "Principal": "*", "Grants": 1},
	    {"Effect": "Allow", "Effect": "Deny", "Action": 7, "Resource": "arn:aws:iam::*:user/${aws:username}", "Condition": {
	      "NumericLessThan": {"aws:SourceIp": "1"},
	      "ForAllValues:Null": {"aws:TagKeys": "true"},
	      "NullIfExists": {"aws:TagKeys": "true"},
	      "StringEquals": {"aws:SourceVpc": "vpc-1", "aws:RequestTag/": "x"},
	      "Bool": {"aws:SecureTransport": "yes"},
	      "IpAddress": {"aws:SourceIp": ["10.0.0.0/33", "localhost"]},
	      "ArnLike": {"aws:PrincipalArn": "user/x"}
	    }}
	  ]}`
	want := `policy p: Version: is "2020-01-01"; valid are 2012-10-17 and 2008-10-17
policy p: Ident: is not an element of a policy; valid are Version, Id and Statement
policy p: Statement[0].Effect: is "Permit"; valid are Allow and Deny
policy p: Statement[0].Action: "ec2" is not an action such as ec2:DescribeVpcs or *
policy p: Statement[0].Resource: "bucket" is not an ARN or *
policy p: Statement[1].Resource: is an empty list
policy p: Statement[1].Principal: belongs to policies of resources, not of users
policy p: Statement[1].Grants: is not an element of a statement
policy p: Statement[1]: needs exactly one Action or NotAction, has 2
policy p: Statement[2]: has "Effect" twice
policy p: Statement[2].Action: has 7, which is not a string
policy p: Statement[2].Resource: "arn:aws:iam::*:user/${aws:username}" has a policy variable; these are not supported
policy p: Statement[2].Condition.NumericLessThan: is not a condition operator that is supported
policy p: Statement[2].Condition.ForAllValues:Null: is not a condition operator that is supported
policy p: Statement[2].Condition.NullIfExists: is not a condition operator that is supported
policy p: Statement[2].Condition.StringEquals.aws:SourceVpc: is not a condition key that is supported
policy p: Statement[2].Condition.StringEquals.aws:RequestTag/: is not a condition key that is supported
policy p: Statement[2].Condition.Bool.aws:SecureTransport: "yes" is not true or false
policy p: Statement[2].Condition.IpAddress.aws:SourceIp: "10.0.0.0/33" is not an address or CIDR block
policy p: Statement[2].Condition.IpAddress.aws:SourceIp: "localhost" is not an address or CIDR block
policy p: Statement[2].Condition.ArnLike.aws:PrincipalArn: "user/x" is not an ARN or *`
	p, err := Parse("p", []byte(document))
	if err == nil || p != nil {
		t.Fatalf("got policy %v, error %v", p, err)
	}
	if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(err.Error(), "\n")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for name, tc := range map[string]struct{ document, want string }{
		"not JSON":      {`{"Statement"`, "policy p: document: is not valid JSON: unexpected EOF"},
		"not an object": {`[]`, "policy p: document: is not a JSON object\npolicy p: Statement: is missing"},
		"two values":    {`{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}} {}`, "policy p: document: has more after its JSON value"},
		"no statement":  {`{"Statement":[]}`, "policy p: Statement: is an empty list"},
		"too large":     {strings.Repeat(" ", MaxPolicyBytes+1), "policy p has 65537 bytes, more than 65536"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Parse("p", []byte(tc.document)); err == nil || err.Error() != tc.want {
				t.Errorf("got %v\nwant %s", err, tc.want)
			}
		})
	}
}

func TestRefusalsReadLikeAWS(t *testing.T) {
	r := Request{Action: "elasticloadbalancing:CreateLoadBalancer", Resource: balancer}
	const user = "arn:aws:iam::000000000000:user/controller"
	for want, d := range map[string]Decision{
		"User: " + user + " is not authorized to perform: elasticloadbalancing:CreateLoadBalancer on resource: " + balancer +
			" because no identity-based policy allows the elasticloadbalancing:CreateLoadBalancer action": {},
		"User: " + user + " is not authorized to perform: elasticloadbalancing:CreateLoadBalancer on resource: " + balancer +
			" with an explicit deny in an identity-based policy: guard": {Explicit: true, Policy: "guard"},
	} {
		if got := d.Refusal(user, r); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// like must agree with a regular expression of the same meaning.
func TestLikeIsWhatTheRegularExpressionSays(t *testing.T) {
	alphabet := []rune("abé*?")
	rapid.Check(t, func(t *rapid.T) {
		pattern := string(rapid.SliceOfN(rapid.SampledFrom(alphabet), 0, 8).Draw(t, "pattern"))
		text := string(rapid.SliceOfN(rapid.SampledFrom(alphabet[:3]), 0, 8).Draw(t, "text"))
		expression := regexp.QuoteMeta(pattern)
		expression = strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(expression)
		want := regexp.MustCompile("^(?s:" + expression + ")$").MatchString(text)
		if got := like(pattern, text); got != want {
			t.Errorf("like(%q, %q) is %t, want %t", pattern, text, got, want)
		}
	})
}

func TestADenyOfEverythingWinsWhateverElseIsSaid(t *testing.T) {
	word := rapid.SampledFrom([]string{"*", "ec2:*", "ec2:Describe*", "elasticloadbalancing:CreateLoadBalancer"})
	deny := `{"Effect":"Deny","Action":"*","Resource":"*"}`
	rapid.Check(t, func(t *rapid.T) {
		statements := []string{deny}
		for i := range rapid.IntRange(0, 4).Draw(t, "statements") {
			s := fmt.Sprintf(`{"Effect":"Allow","Action":%q,"Resource":"*"}`, word.Draw(t, fmt.Sprint("action", i)))
			statements = append(statements, s)
		}
		statements = rapid.Permutation(statements).Draw(t, "order")
		p, err := Parse("p", []byte(`{"Statement":[`+strings.Join(statements, ",")+`]}`))
		if err != nil {
			t.Fatal(err)
		}
		if d := Evaluate([]*Policy{p}, Request{Action: "ec2:DescribeVpcs", Resource: "*"}); d.Allowed || !d.Explicit {
			t.Errorf("got %+v, want an explicit refusal", d)
		}
	})
}

// Whatever the bytes: a policy comes out, or an error that says why; and what
// is not even JSON is never a policy.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"Null":{"aws:TagKeys":true}}}}`))
	f.Add([]byte(`{"Statement":[{"Effect":"Deny","NotAction":["a:b"],"NotResource":"arn:*"}]}`))
	f.Add([]byte(`{"Statement":[{}`))
	f.Fuzz(func(t *testing.T, document []byte) {
		p, err := Parse("p", document)
		if (p == nil) == (err == nil) {
			t.Fatalf("policy %v, error %v", p, err)
		}
		if err != nil {
			return
		}
		if !json.Valid(document) {
			t.Errorf("%q was accepted", document)
		}
		Evaluate([]*Policy{p}, Request{Action: "ec2:DescribeVpcs", Resource: group, Context: map[string][]string{"aws:TagKeys": {"a", ""}}})
	})
}

// The same of trust policies; and who has no account is none of an account's.
func FuzzParseTrust(f *testing.F) {
	f.Add([]byte(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"AWS":"000000000000"},"Condition":{"StringEquals":{"sts:ExternalId":"x"}}}}`))
	f.Add([]byte(`{"Statement":[{"Effect":"Allow","Action":"sts:AssumeRoleWithWebIdentity","Principal":{"Federated":"arn:aws:iam::000000000000:oidc-provider/oidc.example.com"},"Condition":{"StringLike":{"oidc.example.com:sub":"system:*"}}}]}`))
	f.Add([]byte(`{"Statement":[{"Principal":"*"}`))
	f.Fuzz(func(t *testing.T, document []byte) {
		trust, err := ParseTrust("r", document, []string{"oidc.example.com"})
		if (trust == nil) == (err == nil) {
			t.Fatalf("trust %v, error %v", trust, err)
		}
		if err != nil {
			return
		}
		if !json.Valid(document) {
			t.Errorf("%q was accepted", document)
		}
		r := Request{Action: "sts:AssumeRole", Context: map[string][]string{"sts:ExternalId": {"x"}}}
		if got := trust.Judge(r, "arn:aws:iam::999999999999:user/x", ""); got == TrustedByAll {
			t.Errorf("%q trusts a caller without an account as one of an account", document)
		}
	})
}
