package edge_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	realengine "github.com/fairlead-lb/fairlead/internal/engine"
	"github.com/fairlead-lb/fairlead/internal/netlab"
)

const (
	awsCLI    = "/usr/bin/aws"
	engineAPI = "198.18.0.10:7440"
)

// inventory is the segment as the engine knows it. Both targets carry sg-nodes.
const inventory = `
vpcs: [{vpcId: vpc-1, cidrBlock: 198.18.0.0/16, ipv6CidrBlock: "2001:db8::/32"}]
subnets:
- {subnetId: subnet-a, vpcId: vpc-1, availabilityZone: us-west-2a, availabilityZoneId: usw2-az1, cidrBlock: 198.18.16.0/20, ipv6CidrBlock: "2001:db8:0:1::/64", public: true, cidrReservations: [198.18.16.0/25]}
securityGroups: [{groupId: sg-nodes, groupName: nodes, vpcId: vpc-1}]
instances:
- instanceId: i-1
  networkInterfaces: [{subnetId: subnet-a, addresses: [198.18.16.16, "2001:db8:0:1::10"], securityGroups: [sg-nodes]}]
- instanceId: i-2
  networkInterfaces: [{subnetId: subnet-a, addresses: [198.18.16.17, "2001:db8:0:1::11"], securityGroups: [sg-nodes]}]
edges: [{availabilityZone: us-west-2a, addresses: [198.18.16.4, "2001:db8:0:1::4"]}]
`

// account is a real engine in the control namespace, as a user of its API sees
// it through the stock AWS CLI.
type account struct {
	t     *testing.T
	bench *bench
	key   [2]string

	engine *process
}

// newAccount builds the network, starts the engine, gives the edge its identity
// and starts that too. The nodes' group takes everything.
func newAccount(t *testing.T) *account {
	t.Helper()
	return newAccountOf(t, inventory)
}

// newAccountOf is newAccount with another inventory.
func newAccountOf(t *testing.T, inventory string) *account {
	t.Helper()
	b := newNetwork(t)
	state, file := filepath.Join(b.dir, "engine"), filepath.Join(b.dir, "inventory.yaml")
	if err := os.WriteFile(file, []byte(inventory), 0o600); err != nil {
		t.Fatal(err)
	}
	a := &account{t: t, bench: b}
	a.engine = b.start(t, "control", "engine", "--listen", engineAPI, "--insecure-http", "--edge-listen", "198.18.0.10:7441",
		"--dns-listen", "", "--metrics-listen", "", "--state-dir", state, "--inventory", file)
	wait(t, "the engine listens", func() bool {
		conn, err := netlab.Dial(t.Context(), b.prefix+"control", "tcp", engineAPI)
		if err != nil {
			return false
		}
		return conn.Close() == nil
	})
	key, err := realengine.ReadRootKey(state)
	if err != nil {
		t.Fatal(err)
	}
	a.key = [2]string{key.AccessKeyID, key.SecretAccessKey}
	b.run(t, "control", "engine", "issue-edge", "--state-dir", state, "--zone", zone, "--out", filepath.Join(b.dir, "identity"))
	a.aws("ec2", "authorize-security-group-ingress", "--group-id", "sg-nodes", "--ip-permissions", "IpProtocol=-1,IpRanges=[{CidrIp=0.0.0.0/0}],Ipv6Ranges=[{CidrIpv6=::/0}]")
	return a
}

// aws runs the CLI in the control namespace and returns what it prints.
func (a *account) aws(args ...string) string {
	a.t.Helper()
	cmd := exec.CommandContext(a.t.Context(), awsCLI, append([]string{"--endpoint-url", "http://" + engineAPI, "--output", "text"}, args...)...)
	cmd.Env = append(os.Environ(), "AWS_REGION=us-west-2", "AWS_EC2_METADATA_DISABLED=true", "AWS_CONFIG_FILE=/dev/null", "AWS_PAGER=",
		"AWS_ACCESS_KEY_ID="+a.key[0], "AWS_SECRET_ACCESS_KEY="+a.key[1])
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := netlab.In(a.bench.prefix+"control", cmd.Start)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		a.t.Fatalf("aws %s: %v\n%s\nThe test needs the AWS CLI at %s: apt-get install awscli", strings.Join(args, " "), err, stderr.String(), awsCLI)
	}
	return strings.TrimSpace(stdout.String())
}

// certificate has one issued and returns its ARN.
func (a *account) certificate(domain string) string {
	a.t.Helper()
	return a.aws("acm", "request-certificate", "--domain-name", domain, "--key-algorithm", "EC_prime256v1", "--query", "CertificateArn")
}

// addressOf is a load balancer's address, which its network interface in EC2 and
// its name in DNS show.
func (a *account) addressOf(name string) netip.Addr {
	a.t.Helper()
	text := a.aws("ec2", "describe-network-interfaces", "--query", "NetworkInterfaces[?contains(Description, '"+name+"')].PrivateIpAddress")
	addr, err := netip.ParseAddr(text)
	if err != nil {
		a.t.Fatalf("address of load balancer %s: %v", name, err)
	}
	return addr
}

// wait waits until something is so.
func wait(t *testing.T, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * patience); !so(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it does not come about that %s", what)
		}
	}
}

// get asks for a URL from a namespace. The answer's body is the whole text.
func (b *bench) get(t *testing.T, ns, url string) (status int, body string) {
	t.Helper()
	client := &http.Client{Timeout: patience, Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return netlab.Dial(ctx, b.prefix+ns, network, addr)
		},
	}}
	resp, err := client.Get(url)
	if err != nil {
		t.Fatalf("%s asks for %s: %v", ns, url, err)
	}
	defer resp.Body.Close()
	var text bytes.Buffer
	if _, err := text.ReadFrom(resp.Body); err != nil {
		t.Fatalf("%s asks for %s: %v", ns, url, err)
	}
	return resp.StatusCode, text.String()
}
