package elb_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	sdk "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing/types"
	"github.com/aws/smithy-go"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/fairlead-lb/fairlead/internal/apitest"
	"github.com/fairlead-lb/fairlead/internal/cloud/plainbody"
	"github.com/fairlead-lb/fairlead/internal/engine"
	"github.com/fairlead-lb/fairlead/internal/engine/elbv2"
	"github.com/fairlead-lb/fairlead/internal/lb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const inventory = `
vpcs:
- {vpcId: vpc-1, cidrBlock: 198.18.0.0/16}
- {vpcId: vpc-2, cidrBlock: 198.19.0.0/16, isDefault: true}
subnets:
- {subnetId: subnet-a, vpcId: vpc-1, availabilityZone: us-west-2a, availabilityZoneId: usw2-az1, cidrBlock: 198.18.16.0/20, public: true}
- {subnetId: subnet-b, vpcId: vpc-1, availabilityZone: us-west-2b, availabilityZoneId: usw2-az2, cidrBlock: 198.18.32.0/20, public: true}
- {subnetId: subnet-a2, vpcId: vpc-1, availabilityZone: us-west-2a, availabilityZoneId: usw2-az1, cidrBlock: 198.18.48.0/20, public: true}
- {subnetId: subnet-c, vpcId: vpc-1, availabilityZone: us-west-2c, availabilityZoneId: usw2-az3, cidrBlock: 198.18.64.0/20, public: true}
- {subnetId: subnet-default-a, vpcId: vpc-2, availabilityZone: us-west-2a, availabilityZoneId: usw2-az1, cidrBlock: 198.19.0.0/20}
- {subnetId: subnet-default-b, vpcId: vpc-2, availabilityZone: us-west-2b, availabilityZoneId: usw2-az2, cidrBlock: 198.19.16.0/20}
securityGroups:
- {groupId: sg-default, groupName: default, vpcId: vpc-1}
- {groupId: sg-front, groupName: front, vpcId: vpc-1}
- {groupId: sg-other, groupName: other, vpcId: vpc-2}
instances:
- {instanceId: i-a, networkInterfaces: [{subnetId: subnet-a, addresses: [198.18.16.16], securityGroups: [sg-front]}]}
- {instanceId: i-b, networkInterfaces: [{subnetId: subnet-b, addresses: [198.18.32.16]}]}
- {instanceId: i-c, networkInterfaces: [{subnetId: subnet-c, addresses: [198.18.64.16]}]}
- {instanceId: i-pending, state: pending, networkInterfaces: [{subnetId: subnet-a, addresses: [198.18.16.17]}]}
- {instanceId: i-stopped, state: stopped, networkInterfaces: [{subnetId: subnet-a, addresses: [198.18.16.18]}]}
- {instanceId: i-gone, state: terminated, networkInterfaces: [{subnetId: subnet-a, addresses: [198.18.16.19]}]}
- {instanceId: i-elsewhere, networkInterfaces: [{subnetId: subnet-default-a, addresses: [198.19.0.16]}]}
`

// rig is a whole engine behind httptest and an SDK client with the root key.
type rig struct {
	*sdk.Client
	t      *testing.T
	engine *engine.Engine
	url    string
}

func newRig(t *testing.T, iam ...string) *rig {
	t.Helper()
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	config := engine.Config{
		Region: "us-west-2", AccountID: "000000000000", StateDir: filepath.Join(dir, "state"), Inventory: write("inventory.yaml", inventory),
		Quotas: elbv2.DefaultQuotas(), Logger: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(),
	}
	if len(iam) > 0 {
		config.IAM = write("iam.yaml", iam[0])
	}
	e, err := engine.Open(config)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(e.Handler())
	t.Cleanup(func() {
		server.Close()
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	key, _ := e.RootKey()
	r := &rig{t: t, engine: e, url: server.URL}
	r.Client = r.client(key.AccessKeyID, key.SecretAccessKey)
	return r
}

func (r *rig) client(id, secret string) *sdk.Client {
	http := awshttp.NewBuildableClient()
	r.t.Cleanup(func() { http.GetTransport().CloseIdleConnections() })
	return sdk.New(sdk.Options{
		Region: "us-west-2", BaseEndpoint: &r.url, Retryer: aws.NopRetryer{}, HTTPClient: plainbody.Client(http),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: id, SecretAccessKey: secret}, nil
		}),
	})
}

// awsCLI is the stock AWS CLI, of Debian's package awscli.
const awsCLI = "/usr/bin/aws"

// aws runs the CLI against the engine and returns what it printed as text.
func (r *rig) aws(args ...string) string {
	r.t.Helper()
	key, _ := r.engine.RootKey()
	cmd := exec.CommandContext(r.t.Context(), awsCLI, append([]string{"--endpoint-url", r.url, "--output", "text"}, args...)...)
	cmd.Env = append(os.Environ(), "AWS_REGION=us-west-2", "AWS_EC2_METADATA_DISABLED=true", "AWS_CONFIG_FILE=/dev/null", "AWS_PAGER=",
		"AWS_ACCESS_KEY_ID="+key.AccessKeyID, "AWS_SECRET_ACCESS_KEY="+key.SecretAccessKey)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		r.t.Fatalf("aws %s: %v\n%s\nThe test needs the AWS CLI at %s: apt-get install awscli", strings.Join(args, " "), err, stderr.String(), awsCLI)
	}
	return strings.TrimSpace(string(out))
}

// certificate is the ARN of a certificate that the engine has issued.
func (r *rig) certificate() string {
	r.t.Helper()
	return r.aws("acm", "request-certificate", "--domain-name", "www.example.com", "--key-algorithm", "EC_prime256v1", "--query", "CertificateArn")
}

// listens is a listener; the protocol of the instances may be left out.
func listens(protocol string, port int32, instanceProtocol string, instancePort int32) types.Listener {
	l := types.Listener{Protocol: &protocol, LoadBalancerPort: port, InstancePort: &instancePort}
	if instanceProtocol != "" {
		l.InstanceProtocol = &instanceProtocol
	}
	return l
}

// input is a request for a load balancer with one TCP listener.
func input(name string, edits ...func(*sdk.CreateLoadBalancerInput)) *sdk.CreateLoadBalancerInput {
	in := &sdk.CreateLoadBalancerInput{
		LoadBalancerName: &name, Listeners: []types.Listener{listens("TCP", 80, "TCP", 30080)},
		Subnets: []string{"subnet-a", "subnet-b"}, SecurityGroups: []string{"sg-front"},
	}
	for _, edit := range edits {
		edit(in)
	}
	return in
}

func (r *rig) create(name string, edits ...func(*sdk.CreateLoadBalancerInput)) {
	r.t.Helper()
	apitest.Must(r.CreateLoadBalancer(r.t.Context(), input(name, edits...)))(r.t)
}

func (r *rig) describe(name string) types.LoadBalancerDescription {
	r.t.Helper()
	out := apitest.Must(r.DescribeLoadBalancers(r.t.Context(), &sdk.DescribeLoadBalancersInput{LoadBalancerNames: []string{name}}))(r.t)
	if len(out.LoadBalancerDescriptions) != 1 {
		r.t.Fatalf("%d load balancers named %s", len(out.LoadBalancerDescriptions), name)
	}
	return out.LoadBalancerDescriptions[0]
}

func instances(ids ...string) []types.Instance {
	var list []types.Instance
	for _, id := range ids {
		list = append(list, types.Instance{InstanceId: &id})
	}
	return list
}

func (r *rig) register(name string, ids ...string) {
	r.t.Helper()
	apitest.Must(r.RegisterInstancesWithLoadBalancer(r.t.Context(), &sdk.RegisterInstancesWithLoadBalancerInput{LoadBalancerName: &name, Instances: instances(ids...)}))(r.t)
}

// health is the instances' states, as "id state reason: description".
func (r *rig) health(name string, ids ...string) []string {
	r.t.Helper()
	out := apitest.Must(r.DescribeInstanceHealth(r.t.Context(), &sdk.DescribeInstanceHealthInput{LoadBalancerName: &name, Instances: instances(ids...)}))(r.t)
	states := []string{}
	for _, s := range out.InstanceStates {
		states = append(states, fmt.Sprintf("%s %s %s: %s", *s.InstanceId, *s.State, *s.ReasonCode, *s.Description))
	}
	return states
}

// report is what the edge of a zone says about an instance of a load balancer.
func (r *rig) report(zone, name, id string, port uint16, state lb.HealthState) {
	r.engine.Source().Report(lb.HealthReport{Zone: zone, Targets: []lb.TargetHealthReport{{
		Target: lb.TargetKey{TargetGroupARN: "arn:aws:elasticloadbalancing:us-west-2:000000000000:loadbalancer/" + name, ID: id, Port: port},
		Health: lb.TargetHealth{State: state},
	}}})
}

// failure is an error as AWS answers it: its code and HTTP status.
func failure(err error) string {
	api, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		return fmt.Sprint(err)
	}
	status := 0
	if response, ok := errors.AsType[*awshttp.ResponseError](err); ok {
		status = response.HTTPStatusCode()
	}
	return fmt.Sprintf("%s %d", api.ErrorCode(), status)
}
