package wire

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing"
	elbv2 "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func decodeQuery[I any](raw string) (*I, error) {
	return decodeWith[I](newQueryCodec[I, struct{}]("Test"), raw)
}

func decodeEC2[I any](raw string) (*I, error) {
	return decodeWith[I](newEC2Codec[I, struct{}]("Test"), raw)
}

func decodeWith[I any](c codec, raw string) (*I, error) {
	f, err := parseForm(raw)
	if err != nil {
		return nil, err
	}
	in, err := c.decode(body{form: f})
	if err != nil {
		return nil, err
	}
	return in.(*I), nil
}

func TestListsThatAreEmptyAbsentOrOutOfOrder(t *testing.T) {
	for name, tc := range map[string]struct {
		raw  string
		want []string
	}{
		"absent":                        {"", nil},
		"present and empty":             {"SecurityGroups=", []string{}},
		"in order":                      {"SecurityGroups.member.1=a&SecurityGroups.member.2=b", []string{"a", "b"}},
		"by number, not by text":        {"SecurityGroups.member.10=c&SecurityGroups.member.9=b&SecurityGroups.member.1=a", []string{"a", "b", "c"}},
		"with gaps":                     {"SecurityGroups.member.3=a&SecurityGroups.member.70000=b", []string{"a", "b"}},
		"an absurd index costs nothing": {"SecurityGroups.member.999999999=a", []string{"a"}},
		"unknown parameters around":     {"SecurityGroupsX.member.1=x&Security=y&SecurityGroups.member.1=a&Zzz.member.x=1", []string{"a"}},
	} {
		t.Run(name, func(t *testing.T) {
			in, err := decodeQuery[elbv2.SetSecurityGroupsInput]("LoadBalancerArn=arn&" + tc.raw)
			if tc.want == nil {
				if err == nil || !strings.Contains(err.Error(), "Value null at 'securityGroups'") {
					t.Errorf("got %v, want the list reported as missing", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, in.SecurityGroups); diff != "" || (in.SecurityGroups == nil) != (tc.want == nil) {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestAllProblemsAreReportedInAWSWords(t *testing.T) {
	for name, tc := range map[string]struct {
		decode func(string) error
		raw    string
		want   string
	}{
		"a member missing": {into[elbv2.CreateTargetGroupInput], "",
			"ValidationError: 1 validation error detected: Value null at 'name' failed to satisfy constraint: Member must not be null"},
		"members missing and an enum unknown, in lists": {into[elbv2.CreateListenerInput],
			"DefaultActions.member.1.Order=1&Protocol=SCTP",
			"ValidationError: 3 validation errors detected: " +
				"Value null at 'defaultActions.1.member.type' failed to satisfy constraint: Member must not be null; " +
				"Value null at 'loadBalancerArn' failed to satisfy constraint: Member must not be null; " +
				"Value 'SCTP' at 'protocol' failed to satisfy constraint: Member must satisfy enum value set: [HTTP, HTTPS, TCP, TLS, UDP, TCP_UDP, GENEVE, QUIC, TCP_QUIC]"},
		"an empty element of a list": {into[elbv2.AddTagsInput], "ResourceArns.member.1=a&Tags.member.1=",
			"ValidationError: 1 validation error detected: Value null at 'tags.1.member.key' failed to satisfy constraint: Member must not be null"},
		"a number that is none": {into[elbv2.DescribeLoadBalancersInput], "PageSize=many",
			"ValidationError: 1 validation error detected: Value 'many' at 'pageSize' failed to satisfy constraint: Member must be an integer of 32 bits"},
		"a number too large": {into[elbv2.DescribeLoadBalancersInput], "PageSize=4294967297",
			"ValidationError: 1 validation error detected: Value '4294967297' at 'pageSize' failed to satisfy constraint: Member must be an integer of 32 bits"},
		"a boolean that is none": {into[elbv2.CreateTargetGroupInput], "Name=a&HealthCheckEnabled=yes",
			"ValidationError: 1 validation error detected: Value 'yes' at 'healthCheckEnabled' failed to satisfy constraint: Member must be a boolean: true or false"},
		"a value where a list belongs": {into[elbv2.DescribeLoadBalancersInput], "Names=a",
			"MalformedInput: Unexpected list element termination: 'Names' is a list."},
		"a list where a value belongs": {into[elbv2.DescribeLoadBalancersInput], "Marker.member.1=a",
			"MalformedInput: Start of structure or map found where not expected: 'Marker'."},
		"an index that is none": {into[elbv2.DescribeLoadBalancersInput], "Names.member.one=a",
			"MalformedInput: 'one' is not a list index in parameter 'Names.member.one'."},
		"index zero":     {into[elbv2.DescribeLoadBalancersInput], "Names.member.0=a", "MalformedInput: '0' is not a list index in parameter 'Names.member.0'."},
		"negative index": {into[elbv2.DescribeLoadBalancersInput], "Names.member.-1=a", "MalformedInput: '-1' is not a list index in parameter 'Names.member.-1'."},
		"an index beyond all numbers": {into[elbv2.DescribeLoadBalancersInput], "Names.member.99999999999999999999=a",
			"MalformedInput: '99999999999999999999' is not a list index in parameter 'Names.member.99999999999999999999'."},
		"one index in two spellings": {into[elbv2.DescribeLoadBalancersInput], "Names.member.1=a&Names.member.01=b",
			"MalformedInput: '01' is not a list index in parameter 'Names.member.01'."},
		"a parameter twice":      {into[elbv2.DescribeLoadBalancersInput], "Marker=a&Marker=b", "MalformedQueryString: Duplicate parameter 'Marker'."},
		"bytes that are no text": {into[elbv2.DescribeLoadBalancersInput], "Marker=%ff", "MalformedQueryString: Parameter 'Marker' is not valid percent-encoded UTF-8."},
		"a broken escape":        {into[elbv2.DescribeLoadBalancersInput], "Marker=%2", "MalformedQueryString: Parameter 'Marker' is not valid percent-encoded UTF-8."},
		"classic: a nested member missing": {into[elb.CreateLoadBalancerInput], "LoadBalancerName=a&Listeners.member.1.Protocol=TCP&Listeners.member.1.InstancePort=80",
			"ValidationError: 1 validation error detected: Value null at 'listeners.1.member.loadBalancerPort' failed to satisfy constraint: Member must not be null"},
	} {
		t.Run(name, func(t *testing.T) {
			err := tc.decode(tc.raw)
			if err == nil {
				t.Fatal("was accepted")
			}
			if diff := cmp.Diff(tc.want, err.Error()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func into[I any](raw string) error {
	_, err := decodeQuery[I](raw)
	return err
}

func TestErrorsStayShortWhateverTheInput(t *testing.T) {
	var raw strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&raw, "&DefaultActions.member.%d.Type=%s", i+1, strings.Repeat("x", 500))
	}
	err := into[elbv2.CreateListenerInput](raw.String()[1:])
	if err == nil || !strings.Contains(err.Error(), "1001 validation errors detected") {
		t.Fatalf("got %.200v, want 1001 validation errors", err)
	}
	if n := len(err.Error()); n > 16<<10 {
		t.Errorf("the error has %d bytes", n)
	}
	tooMany := strings.Repeat("&a=", maxParameters+1)
	if _, err := parseForm(tooMany); err == nil || len(err.Error()) > 200 {
		t.Errorf("%d parameters: got %v, want a short error", maxParameters+2, err)
	}
}

// ec2Request has every form that our EC2 structs use.
type ec2Request struct {
	Common
	VpcIDs []string     `ec2:"VpcId"`
	Prefix netip.Prefix `ec2:"CidrBlock,omitempty"`
	Port   *int32       `ec2:"FromPort"`
	Filter []ec2Filter  `ec2:"Filter"`
	Group  string       `ec2:"GroupId,required"`
	When   time.Time    `ec2:"CreateTime,omitempty"`
	Hidden int
}

type Common struct {
	DryRun bool `ec2:"DryRun"`
}

type ec2Filter struct {
	Name   string   `ec2:"Name"`
	Values []string `ec2:"Value"`
}

func TestEC2Form(t *testing.T) {
	got, err := decodeEC2[ec2Request]("DryRun=true&VpcId.2=b&VpcId.1=a&CidrBlock=198.18.0.0%2F16&FromPort=-1&" +
		"Filter.1.Name=tag%3AName&Filter.1.Value.1=x*&GroupId=sg&Hidden=7&CreateTime=2026-01-02T03:04:05Z")
	if err != nil {
		t.Fatal(err)
	}
	want := &ec2Request{
		Common: Common{DryRun: true}, VpcIDs: []string{"a", "b"}, Prefix: netip.MustParsePrefix("198.18.0.0/16"), Port: aws.Int32(-1),
		Filter: []ec2Filter{{"tag:Name", []string{"x*"}}}, Group: "sg", When: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	e := newEC2Codec[struct{}, ec2Request]("Test")
	xml, err := e.encode(want, "urn:ec2", "id")
	if err != nil {
		t.Fatal(err)
	}
	wantXML := xmlHeader + `<TestResponse xmlns="urn:ec2"><requestId>id</requestId><dryRun>true</dryRun>` +
		`<vpcId><item>a</item><item>b</item></vpcId><cidrBlock>198.18.0.0/16</cidrBlock><fromPort>-1</fromPort>` +
		`<filter><item><name>tag:Name</name><value><item>x*</item></value></item></filter><groupId>sg</groupId>` +
		`<createTime>2026-01-02T03:04:05.000Z</createTime></TestResponse>`
	if diff := cmp.Diff(wantXML, string(xml)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestEC2Problems(t *testing.T) {
	for raw, want := range map[string]string{
		"":                              "MissingParameter: The request must contain the parameter GroupId",
		"GroupId=sg&CidrBlock=10.0.0.1": "InvalidParameterValue: Value (10.0.0.1) for parameter CidrBlock is invalid. Member must be a valid prefix.",
		"GroupId=sg&FromPort=x":         "InvalidParameterValue: Value (x) for parameter FromPort is invalid. Member must be an integer of 32 bits.",
	} {
		_, err := decodeEC2[ec2Request](raw)
		if err == nil || err.Error() != want {
			t.Errorf("%q: got %v, want %s", raw, err, want)
		}
	}
}

func TestEC2WithoutAResultReturnsTrue(t *testing.T) {
	got, err := newEC2Codec[struct{}, struct{}]("DeleteThing").encode(nil, "urn:ec2", "id")
	if err != nil {
		t.Fatal(err)
	}
	want := xmlHeader + `<DeleteThingResponse xmlns="urn:ec2"><requestId>id</requestId><return>true</return></DeleteThingResponse>`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTopLevelListsAreThereWhenEmpty(t *testing.T) {
	c := newQueryCodec[struct{}, elbv2.DescribeLoadBalancersOutput]("DescribeLoadBalancers")
	got, err := c.encode(&elbv2.DescribeLoadBalancersOutput{}, "urn:v2", "id")
	if err != nil {
		t.Fatal(err)
	}
	want := `<DescribeLoadBalancersResponse xmlns="urn:v2"><DescribeLoadBalancersResult><LoadBalancers></LoadBalancers>` +
		`</DescribeLoadBalancersResult><ResponseMetadata><RequestId>id</RequestId></ResponseMetadata></DescribeLoadBalancersResponse>`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What FuzzDecode finds must be an AWS error, or a value that decodes to
// itself when its parameters come in another order.
func FuzzDecode(f *testing.F) {
	f.Add("Name=a&Subnets.member.1=b&Tags.member.1.Key=k&Tags.member.1.Value=v")
	f.Add("SubnetMappings.member.999999999.SubnetId=a&SecurityGroups=&Name=%c3%a9+x")
	f.Add("Name=a&Name=a&=&&&x=%zz")
	f.Fuzz(func(t *testing.T, raw string) {
		in, err := decodeQuery[elbv2.CreateLoadBalancerInput](raw)
		if err != nil {
			if _, ok := errors.AsType[*Error](err); !ok || !utf8.ValidString(err.Error()) {
				t.Errorf("error %T %q is not AWS's", err, err)
			}
			return
		}
		pairs := strings.Split(raw, "&")
		reversed := make([]string, 0, len(pairs))
		for i := range pairs {
			reversed = append(reversed, pairs[len(pairs)-1-i])
		}
		again, err := decodeQuery[elbv2.CreateLoadBalancerInput](strings.Join(reversed, "&"))
		if err != nil {
			t.Fatalf("in another order: %v", err)
		}
		if diff := cmp.Diff(in, again, cmpopts.IgnoreUnexported(elbv2.CreateLoadBalancerInput{}, types.SubnetMapping{}, types.Tag{})); diff != "" {
			t.Errorf("in another order (-first +second):\n%s", diff)
		}
	})
}

// Whatever text a use case returns, an XML parser reads it back, but for
// characters that XML cannot hold.
func FuzzEncodeText(f *testing.F) {
	f.Add("plain", "key")
	f.Add("<a> & \"b\" \r\n\t é \x00 \ufffe", "")
	f.Fuzz(func(t *testing.T, text, key string) {
		type out struct {
			Text string            `ec2:"Text"`
			Map  map[string]string `ec2:"Map"`
		}
		raw, err := newEC2Codec[struct{}, out]("Test").encode(&out{text, map[string]string{key: text}}, "urn:ec2", "id")
		if err != nil {
			t.Fatal(err)
		}
		var read struct {
			Text  string `xml:"text"`
			Key   string `xml:"map>entry>key"`
			Value string `xml:"map>entry>value"`
		}
		if err := xml.NewDecoder(bytes.NewReader(raw)).Decode(&read); err != nil {
			t.Fatalf("%q cannot be read: %v", raw, err)
		}
		want := []string{xmlText(text), xmlText(key), xmlText(text)}
		if got := []string{read.Text, read.Key, read.Value}; !reflect.DeepEqual(got, want) {
			t.Errorf("read %q, want %q", got, want)
		}
	})
}

// xmlText replaces what XML 1.0 (section 2.2) cannot hold by U+FFFD.
func xmlText(s string) string {
	var b strings.Builder
	for _, r := range s { // invalid bytes come as U+FFFD, one each
		switch {
		case r == '\t', r == '\n', r == '\r', 0x20 <= r && r <= 0xD7FF, 0xE000 <= r && r <= 0xFFFD, 0x10000 <= r && r <= 0x10FFFF:
			b.WriteRune(r)
		default:
			b.WriteRune('\uFFFD')
		}
	}
	return b.String()
}
