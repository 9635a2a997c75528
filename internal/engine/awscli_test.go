package engine

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/fairlead-lb/fairlead/internal/lb"
)

// awsCLI is the stock AWS CLI, of Debian's package awscli. It is older than
// AWS_ENDPOINT_URL and gets --endpoint-url.
const awsCLI = "/usr/bin/aws"

// aws runs the CLI against the engine and returns what it printed as text.
func (r *rig) aws(args ...string) string {
	r.t.Helper()
	out, message, err := r.runAWS(args...)
	if err != nil {
		r.t.Fatalf("aws %s: %v\n%s\nThe test needs the AWS CLI at %s: apt-get install awscli", strings.Join(args, " "), err, message, awsCLI)
	}
	return out
}

// awsFails runs the CLI, which has to fail, and returns its message.
func (r *rig) awsFails(args ...string) string {
	r.t.Helper()
	out, message, err := r.runAWS(args...)
	if _, failed := errors.AsType[*exec.ExitError](err); !failed {
		r.t.Fatalf("aws %s: %v; want it refused, it printed %q", strings.Join(args, " "), err, out)
	}
	return message
}

func (r *rig) runAWS(args ...string) (out, message string, err error) {
	key, _ := r.engine.RootKey()
	cmd := exec.CommandContext(r.t.Context(), awsCLI, append([]string{"--endpoint-url", r.url, "--output", "text"}, args...)...)
	cmd.Env = append(os.Environ(), "AWS_REGION=us-west-2", "AWS_EC2_METADATA_DISABLED=true", "AWS_CONFIG_FILE=/dev/null", "AWS_PAGER=",
		"AWS_ACCESS_KEY_ID="+key.AccessKeyID, "AWS_SECRET_ACCESS_KEY="+key.SecretAccessKey)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	return strings.TrimSpace(stdout.String()), stderr.String(), err
}

func TestASessionWithTheStockAWSCLI(t *testing.T) {
	t.Parallel() // most of it is the CLI starting
	r := newRig(t)
	group := r.aws("ec2", "create-security-group", "--group-name", "frontend", "--description", "frontend of web", "--vpc-id", "vpc-1", "--query", "GroupId")
	balancer := r.aws("elbv2", "create-load-balancer", "--name", "web", "--type", "network", "--subnets", "subnet-a", "subnet-b",
		"--security-groups", group, "--tags", "Key=team,Value=a", "--query", "LoadBalancers[0].LoadBalancerArn")
	r.aws("elbv2", "wait", "load-balancer-available", "--load-balancer-arns", balancer)
	targets := r.aws("elbv2", "create-target-group", "--name", "pods", "--protocol", "TCP", "--port", "30080", "--vpc-id", "vpc-1",
		"--health-check-protocol", "HTTP", "--health-check-path", "/healthz", "--health-check-port", "31000", "--query", "TargetGroups[0].TargetGroupArn")
	listener := r.aws("elbv2", "create-listener", "--load-balancer-arn", balancer, "--protocol", "TCP", "--port", "80",
		"--default-actions", "Type=forward,TargetGroupArn="+targets, "--query", "Listeners[0].ListenerArn")
	r.aws("elbv2", "register-targets", "--target-group-arn", targets, "--targets", "Id=i-a", "Id=i-b,Port=8080")
	r.aws("elbv2", "modify-target-group-attributes", "--target-group-arn", targets, "--attributes", "Key=deregistration_delay.timeout_seconds,Value=0")

	a, b := r.edge("us-west-2a"), r.edge("us-west-2b")
	for id, e := range map[lb.TargetKey]*edge{
		{TargetGroupARN: targets, ID: "i-a", Port: 30080}: a, {TargetGroupARN: targets, ID: "i-b", Port: 8080}: b,
	} {
		e.out.Put(lb.HealthReport{Targets: []lb.TargetHealthReport{{Target: id, Health: lb.TargetHealth{State: lb.Healthy}}}})
	}
	r.await("two healthy targets", func() bool { return strings.Join(r.states(targets), " ") == "healthy healthy" })
	r.aws("elbv2", "wait", "target-in-service", "--target-group-arn", targets)
	health := r.aws("elbv2", "describe-target-health", "--target-group-arn", targets, "--query", "TargetHealthDescriptions[].[Target.Id,HealthCheckPort,TargetHealth.State]")
	if want := "i-a\t31000\thealthy\ni-b\t31000\thealthy"; health != want {
		t.Errorf("describe-target-health printed\n%s\nwant\n%s", health, want)
	}
	if got := r.aws("elbv2", "describe-tags", "--resource-arns", balancer, "--query", "TagDescriptions[0].Tags[0].Value"); got != "a" {
		t.Errorf("tag team = %q", got)
	}

	r.aws("elbv2", "deregister-targets", "--target-group-arn", targets, "--targets", "Id=i-a")
	r.aws("elbv2", "wait", "target-deregistered", "--target-group-arn", targets, "--targets", "Id=i-a")
	r.aws("elbv2", "delete-listener", "--listener-arn", listener)
	r.aws("elbv2", "delete-load-balancer", "--load-balancer-arn", balancer)
	r.aws("elbv2", "wait", "load-balancers-deleted", "--load-balancer-arns", balancer)
	r.aws("elbv2", "delete-target-group", "--target-group-arn", targets)
	r.aws("ec2", "delete-security-group", "--group-id", group)
	if got := r.aws("elbv2", "describe-load-balancers", "--query", "length(LoadBalancers)"); got != "0" {
		t.Errorf("%s load balancers are left", got)
	}
}
