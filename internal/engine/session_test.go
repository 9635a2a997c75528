package engine

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/fairlead-lb/fairlead/internal/lb"
)

func TestANetworkFromNothingWithTheStockAWSCLI(t *testing.T) {
	t.Parallel() // most of it is the CLI starting
	r := newRig(t)
	r.stop()
	r.writeInventory("vpcs: []\nsubnets: []\nelasticIpPools: [203.0.113.8/29]\n")
	r.start()

	vpc := r.aws("ec2", "create-vpc", "--cidr-block", "10.0.0.0/16", "--tag-specifications", "ResourceType=vpc,Tags=[{Key=Name,Value=lab}]", "--query", "Vpc.VpcId")
	r.aws("ec2", "wait", "vpc-available", "--vpc-ids", vpc)
	r.aws("ec2", "modify-vpc-attribute", "--vpc-id", vpc, "--enable-dns-hostnames")
	zones := strings.Fields(r.aws("ec2", "describe-availability-zones", "--query", "AvailabilityZones[].ZoneName"))
	if strings.Join(zones, " ") != "us-west-2a us-west-2b us-west-2c" {
		t.Fatalf("zones %q", zones)
	}
	subnet := r.aws("ec2", "create-subnet", "--vpc-id", vpc, "--cidr-block", "10.0.1.0/24", "--availability-zone", "us-west-2a", "--query", "Subnet.SubnetId")
	r.aws("ec2", "wait", "subnet-available", "--subnet-ids", subnet)
	group := r.aws("ec2", "create-security-group", "--group-name", "web", "--description", "web", "--vpc-id", vpc, "--query", "GroupId")
	r.aws("ec2", "authorize-security-group-ingress", "--group-id", group, "--protocol", "tcp", "--port", "0-65535", "--cidr", "0.0.0.0/0")
	instance := r.aws("ec2", "run-instances", "--image-id", "ami-1", "--instance-type", "t3.micro", "--subnet-id", subnet, "--security-group-ids", group,
		"--query", "Instances[0].InstanceId")
	r.aws("ec2", "wait", "instance-running", "--instance-ids", instance)

	allocation := r.aws("ec2", "allocate-address", "--domain", "vpc", "--query", "AllocationId")
	create := []string{"elbv2", "create-load-balancer", "--name", "web", "--type", "network", "--security-groups", group,
		"--subnet-mappings", "SubnetId=" + subnet + ",AllocationId=" + allocation, "--query", "LoadBalancers[0].LoadBalancerArn"}
	if message := r.awsFails(create...); !strings.Contains(message, "has no internet gateway") {
		t.Errorf("an internet-facing load balancer without a way out: %s", message)
	}
	gateway := r.aws("ec2", "create-internet-gateway", "--query", "InternetGateway.InternetGatewayId")
	r.aws("ec2", "attach-internet-gateway", "--internet-gateway-id", gateway, "--vpc-id", vpc)
	table := r.aws("ec2", "create-route-table", "--vpc-id", vpc, "--query", "RouteTable.RouteTableId")
	r.aws("ec2", "create-route", "--route-table-id", table, "--destination-cidr-block", "0.0.0.0/0", "--gateway-id", gateway)
	association := r.aws("ec2", "associate-route-table", "--route-table-id", table, "--subnet-id", subnet, "--query", "AssociationId")

	balancer := r.aws(create...)
	r.aws("elbv2", "wait", "load-balancer-available", "--load-balancer-arns", balancer)
	if nic := r.aws("ec2", "describe-network-interfaces", "--filters", "Name=description,Values=ELB net/web/*", "--query", "NetworkInterfaces[0].NetworkInterfaceId"); nic !=
		r.aws("ec2", "describe-addresses", "--allocation-ids", allocation, "--query", "Addresses[0].NetworkInterfaceId") {
		t.Errorf("the address is not associated with the load balancer's interface %s", nic)
	}
	targets := r.aws("elbv2", "create-target-group", "--name", "web", "--protocol", "TCP", "--port", "8080", "--vpc-id", vpc, "--query", "TargetGroups[0].TargetGroupArn")
	r.aws("elbv2", "modify-target-group-attributes", "--target-group-arn", targets, "--attributes", "Key=deregistration_delay.timeout_seconds,Value=0")
	r.aws("elbv2", "create-listener", "--load-balancer-arn", balancer, "--protocol", "TCP", "--port", "80", "--default-actions", "Type=forward,TargetGroupArn="+targets)
	r.aws("elbv2", "register-targets", "--target-group-arn", targets, "--targets", "Id="+instance)

	edge := r.edge("us-west-2a")
	s := edge.until("the instance", func(s lb.ZoneSnapshot) bool { return len(s.TargetGroups) == 1 && len(s.TargetGroups[0].Targets) == 1 })
	if got := s.TargetGroups[0].Targets[0].Addr; got != netip.MustParseAddr("10.0.1.4") {
		t.Errorf("the edge is told that the instance has %s", got)
	}
	if got := s.LoadBalancers[0].IPv4; got != netip.MustParseAddr("203.0.113.8") {
		t.Errorf("the edge is told that the load balancer has %s", got)
	}
	key := lb.TargetKey{TargetGroupARN: targets, ID: instance, Port: 8080}
	edge.out.Put(lb.HealthReport{Targets: []lb.TargetHealthReport{{Target: key, Health: lb.TargetHealth{State: lb.Healthy}}}})
	r.await("a healthy target", func() bool { return strings.Join(r.states(targets), " ") == "healthy" })
	r.aws("elbv2", "wait", "target-in-service", "--target-group-arn", targets)

	for _, busy := range [][]string{
		{"ec2", "delete-subnet", "--subnet-id", subnet}, {"ec2", "delete-vpc", "--vpc-id", vpc}, {"ec2", "delete-security-group", "--group-id", group},
		{"ec2", "detach-internet-gateway", "--internet-gateway-id", gateway, "--vpc-id", vpc},
	} {
		if message := r.awsFails(busy...); !strings.Contains(message, "DependencyViolation") {
			t.Errorf("%s: %s", busy[1], message)
		}
	}
	if message := r.awsFails("ec2", "release-address", "--allocation-id", allocation); !strings.Contains(message, "InvalidIPAddress.InUse") {
		t.Errorf("release-address: %s", message)
	}

	r.aws("elbv2", "deregister-targets", "--target-group-arn", targets, "--targets", "Id="+instance)
	r.aws("elbv2", "wait", "target-deregistered", "--target-group-arn", targets, "--targets", "Id="+instance)
	r.aws("elbv2", "delete-load-balancer", "--load-balancer-arn", balancer)
	r.aws("elbv2", "wait", "load-balancers-deleted", "--load-balancer-arns", balancer)
	r.aws("elbv2", "delete-target-group", "--target-group-arn", targets)
	r.aws("ec2", "terminate-instances", "--instance-ids", instance)
	r.aws("ec2", "wait", "instance-terminated", "--instance-ids", instance)
	r.aws("ec2", "release-address", "--allocation-id", allocation)
	r.aws("ec2", "disassociate-route-table", "--association-id", association)
	r.aws("ec2", "delete-route-table", "--route-table-id", table)
	r.aws("ec2", "detach-internet-gateway", "--internet-gateway-id", gateway, "--vpc-id", vpc)
	r.aws("ec2", "delete-internet-gateway", "--internet-gateway-id", gateway)
	r.aws("ec2", "delete-security-group", "--group-id", group)
	r.aws("ec2", "delete-subnet", "--subnet-id", subnet)
	r.aws("ec2", "delete-vpc", "--vpc-id", vpc)
	if got := r.aws("ec2", "describe-vpcs", "--query", "length(Vpcs)"); got != "0" {
		t.Errorf("%s VPCs are left", got)
	}
}
