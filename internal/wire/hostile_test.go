package wire

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	elbv2 "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/google/go-cmp/cmp"
)

type echoInput struct {
	Text   string `json:"Text" ec2:"Text"`
	Number int32  `json:"Number" ec2:"Number"`
}

func echo(_ context.Context, in *echoInput) (*echoInput, error) { return in, nil }

func denied(context.Context, *echoInput) (*echoInput, error) {
	return nil, AccessDeniedf("User: %s is not authorized", testCaller.ARN)
}

func allProtocols() http.Handler {
	return NewHandler(Config{
		APIs: []API{
			elbv2API(Query("DescribeLoadBalancers", func(context.Context, *elbv2.DescribeLoadBalancersInput) (*elbv2.DescribeLoadBalancersOutput, error) {
				return nil, AccessDeniedf("User: %s is not authorized", testCaller.ARN)
			})),
			{Service: "ec2", Version: "2016-11-15", Namespace: "http://ec2.amazonaws.com/doc/2016-11-15/",
				Actions: []Action{EC2("Echo", echo), EC2("Denied", denied)}},
			{Service: "shield", TargetPrefix: "AWSShield_20160616", Region: "us-east-1",
				Actions: []Action{JSON("Echo", echo), JSON("Denied", denied)}},
		},
		Credentials: testKeys{}, Region: testRegion, Now: func() time.Time { return signedAt }, Logger: discard,
	})
}

// post signs and sends a request to a service.
func post(t *testing.T, service, region, body string, header http.Header) (int, string) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "http://api.test/", strings.NewReader(body))
	r.Header = header
	if header.Get("Content-Type") == "" {
		header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	}
	hash := sha256.Sum256([]byte(body))
	key := aws.Credentials{AccessKeyID: testKeyID, SecretAccessKey: testSecret}
	if err := v4.NewSigner().SignHTTP(t.Context(), key, r, hex.EncodeToString(hash[:]), service, region, signedAt); err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	allProtocols().ServeHTTP(w, r)
	id := w.Header().Get("X-Amzn-Requestid")
	if id == "" || w.Header().Get("Date") != signedAt.Format(http.TimeFormat) {
		t.Errorf("answer without request ID or date: %v", w.Header())
	}
	return w.Code, strings.ReplaceAll(w.Body.String(), id, "ID")
}

func TestRequestsThatFindNoActionOrDoNotFit(t *testing.T) {
	const v2 = "Version=2015-12-01"
	target := func(s string) http.Header { return http.Header{"X-Amz-Target": {s}} }
	queryText := func(code, message string) string {
		return `<ErrorResponse xmlns="http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/"><Error><Type>Sender</Type><Code>` + code +
			`</Code><Message>` + escaped(message) + `</Message></Error><RequestId>ID</RequestId></ErrorResponse>`
	}
	ec2Text := func(code, message string) string {
		return xmlHeader + `<Response><Errors><Error><Code>` + code + `</Code><Message>` + escaped(message) +
			`</Message></Error></Errors><RequestID>ID</RequestID></Response>`
	}
	jsonText := func(code, message string) string { return `{"__type":"` + code + `","message":"` + message + `"}` }
	for name, tc := range map[string]struct {
		service, region, body string
		header                http.Header
		status                int
		want                  string
	}{
		"query: unknown action": {service: "elasticloadbalancing", body: "Action=Nothing&" + v2, status: 400,
			want: queryText("InvalidAction", "Could not find operation Nothing for version 2015-12-01")},
		"query: unknown version": {service: "elasticloadbalancing", body: "Action=DescribeLoadBalancers&Version=2010-01-01", status: 400,
			want: queryText("InvalidAction", "Could not find operation DescribeLoadBalancers for version 2010-01-01")},
		"query: no action": {service: "elasticloadbalancing", body: v2, status: 400,
			want: queryText("MissingAction", "The request is missing the parameter Action.")},
		"query: another content type": {service: "elasticloadbalancing", body: "Action=DescribeLoadBalancers&" + v2, status: 400,
			header: http.Header{"Content-Type": {"text/plain"}},
			want:   queryText("MissingAction", "The request has no Action: parameters are read from application/x-www-form-urlencoded, not from 'text/plain'.")},
		"query: denied": {service: "elasticloadbalancing", body: "Action=DescribeLoadBalancers&" + v2, status: 403,
			want: queryText("AccessDenied", "User: arn:aws:iam::000000000000:user/tester is not authorized")},
		"query: malformed": {service: "elasticloadbalancing", body: "Action=%", status: 404,
			want: queryText("MalformedQueryString", "Parameter 'Action' is not valid percent-encoded UTF-8.")},
		"ec2: unknown action": {service: "ec2", body: "Action=Nothing&Version=2016-11-15", status: 400,
			want: ec2Text("InvalidAction", "The action Nothing is not valid for this web service.")},
		"ec2: another region": {service: "ec2", region: "us-east-1", body: "Action=Echo&Version=2016-11-15", status: 401,
			want: ec2Text("AuthFailure", "AWS was not able to validate the provided access credentials. Credential should be scoped to a valid region, not 'us-east-1': this endpoint is 'us-west-2'.")},
		"ec2: denied": {service: "ec2", body: "Action=Denied&Version=2016-11-15", status: 403,
			want: ec2Text("UnauthorizedOperation", "You are not authorized to perform this operation. User: arn:aws:iam::000000000000:user/tester is not authorized")},
		"ec2: echo": {service: "ec2", body: "Action=Echo&Version=2016-11-15&Text=a&Number=1", status: 200,
			want: xmlHeader + `<EchoResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>ID</requestId><text>a</text><number>1</number></EchoResponse>`},
		"json: echo in the region of a global service": {service: "shield", region: "us-east-1", body: `{"Text":"a","Number":1}`,
			header: target("AWSShield_20160616.Echo"), status: 200, want: `{"Text":"a","Number":1}`},
		"json: echo in the endpoint's own region": {service: "shield", body: `{"Text":"a","Number":1}`,
			header: target("AWSShield_20160616.Echo"), status: 200, want: `{"Text":"a","Number":1}`},
		"json: no body": {service: "shield", region: "us-east-1", header: target("AWSShield_20160616.Echo"), status: 200, want: `{"Text":"","Number":0}`},
		"json: unknown operation": {service: "shield", region: "us-east-1", header: target("AWSShield_20160616.Nothing"), status: 400,
			want: jsonText("UnknownOperationException", "Operation 'AWSShield_20160616.Nothing' is not known.")},
		"json: another service's target": {service: "shield", region: "us-east-1", header: target("Other.Echo"), status: 400,
			want: jsonText("UnknownOperationException", "Operation 'Other.Echo' is not known.")},
		"json: no target": {service: "shield", region: "us-east-1", body: "{}", status: 400,
			want: jsonText("UnknownOperationException", "Operation '' is not known.")},
		"json: denied": {service: "shield", region: "us-east-1", header: target("AWSShield_20160616.Denied"), status: 400,
			want: jsonText("AccessDeniedException", "User: arn:aws:iam::000000000000:user/tester is not authorized")},
		"json: not JSON": {service: "shield", region: "us-east-1", body: `{"Text":`, header: target("AWSShield_20160616.Echo"), status: 400,
			want: jsonText("SerializationException", "The request body is not valid JSON.")},
		"json: another type": {service: "shield", region: "us-east-1", body: `{"Text":7}`, header: target("AWSShield_20160616.Echo"), status: 400,
			want: jsonText("SerializationException", "number can not be converted to string at 'Text'.")},
		"json: more than one value": {service: "shield", region: "us-east-1", body: `{} {}`, header: target("AWSShield_20160616.Echo"), status: 400,
			want: jsonText("SerializationException", "The request body has more after its JSON value.")},
		"json: nested without end": {service: "shield", region: "us-east-1", body: strings.Repeat("[", MaxBodyBytes), header: target("AWSShield_20160616.Echo"), status: 400,
			want: jsonText("SerializationException", "The request body is not valid JSON.")},
		"a service that is not offered": {service: "monitoring", body: "Action=PutMetricData", status: 400,
			want: strings.Replace(queryText("UnknownOperation", "This endpoint does not offer the service 'monitoring'; it offers ec2, elasticloadbalancing, shield."),
				` xmlns="http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/"`, "", 1)},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.region == "" {
				tc.region = testRegion
			}
			if tc.header == nil {
				tc.header = http.Header{}
			}
			status, got := post(t, tc.service, tc.region, tc.body, tc.header)
			if diff := cmp.Diff(tc.want, got); diff != "" || status != tc.status {
				t.Errorf("got %d, want %d; body (-want +got):\n%s", status, tc.status, diff)
			}
		})
	}
}

func TestABodyThatIsTooLargeIsRefusedWithoutReadingIt(t *testing.T) {
	for name, announced := range map[string]bool{"announced": true, "chunked": false} {
		t.Run(name, func(t *testing.T) {
			body := &countingReader{left: 10 << 20}
			r := httptest.NewRequest(http.MethodPost, "http://api.test/", body)
			r.Header.Set("Authorization", someAuthorization)
			if announced {
				r.ContentLength = 10 << 20
			}
			status, text := answer(allProtocols(), r)
			if status != http.StatusRequestEntityTooLarge || !strings.Contains(text, "<Response><Errors><Error><Code>RequestEntityTooLarge</Code>") {
				t.Errorf("got %d %s, want 413 in EC2's form", status, text)
			}
			if body.read > MaxBodyBytes+64<<10 {
				t.Errorf("read %d bytes of the body", body.read)
			}
		})
	}
}

// someAuthorization names a key that exists; its signature is never looked at.
const someAuthorization = sigAlgorithm + " Credential=" + testKeyID + "/20260506/us-west-2/ec2/aws4_request, SignedHeaders=host, Signature=0"

func TestABodyIsNotReadForAKeyThatNobodyHas(t *testing.T) {
	for name, authorization := range map[string]string{
		"no key": "", "an unknown key": strings.Replace(someAuthorization, testKeyID, "AKIAUNKNOWN", 1),
	} {
		t.Run(name, func(t *testing.T) {
			body := &countingReader{left: MaxBodyBytes}
			r := httptest.NewRequest(http.MethodPost, "http://api.test/", body)
			r.Header.Set("Authorization", authorization)
			status, text := answer(allProtocols(), r)
			if status < 400 || body.read > 0 {
				t.Errorf("got %d %s after reading %d bytes", status, text, body.read)
			}
		})
	}
}

type countingReader struct{ left, read int }

func (c *countingReader) Read(p []byte) (int, error) {
	n := min(len(p), c.left)
	if n == 0 {
		return 0, io.EOF
	}
	c.left -= n
	c.read += n
	return n, nil
}

func TestABodyThatDoesNotArriveIsAnsweredAndTheConnectionClosed(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(allProtocols(), discard)
	s.ReadTimeout = 50 * time.Millisecond
	go s.Serve(listener)
	defer s.Close()
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: api.test\r\nAuthorization: %s\r\nContent-Length: 100\r\n\r\nAction=", someAuthorization)
	reader := bufio.NewReader(conn)
	response, err := http.ReadResponse(reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusRequestTimeout || !strings.Contains(string(text), "<Code>RequestTimeout</Code>") {
		t.Errorf("got %d %s (%v), want 408", response.StatusCode, text, err)
	}
	if _, err := reader.ReadByte(); err != io.EOF {
		t.Errorf("the connection is still open: %v", err)
	}
}
