package component

import (
	"net/netip"

	"github.com/fairlead-lb/fairlead/internal/lab/layout"
)

// AccountID is the account that the engine's resources belong to.
const AccountID = "000000000000"

// Where the controller is asked for its health and its metrics.
const (
	controllerHealth  = "127.0.0.1:7471"
	controllerMetrics = "127.0.0.1:7470"
)

// localMetrics is where programs that have a namespace to themselves are asked
// for their health.
func localMetrics() string {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), metricsPort).String()
}

// EngineStateURL is where the engine tells, inside the lab, what it goes by.
func EngineStateURL() string { return "http://" + controlAddress(metricsPort) + "/state" }

func engine(c Config) Component {
	o := c.control(Engine)
	o.Dirs = []string{c.Dir.Engine()}
	o.Argv = []string{
		c.Fairlead, "engine",
		"--listen=" + EngineAddress().String(), "--insecure-http",
		"--edge-listen=" + controlAddress(edgePort),
		"--dns-listen=" + controlAddress(dnsPort),
		"--metrics-listen=" + controlAddress(metricsPort),
		"--state-dir=" + c.Dir.Engine(),
		"--inventory=" + c.Dir.Inventory(), "--iam=" + c.Dir.IAM(),
		"--region=" + c.Layout.Region, "--account-id=" + AccountID,
	}
	o.Ready = Probe{URL: "http://" + controlAddress(metricsPort) + "/readyz"}
	return o
}

// edgeIdentity issues the certificate that a zone's edge shows to the engine.
func edgeIdentity(c Config, z layout.Zone) Component {
	o := named(EdgeIdentity, z.Name)
	o.Namespace = c.Layout.Prefix + layout.ControlNamespace
	o.After = []string{Engine}
	o.Once = true
	o.Dirs = []string{c.Dir.EdgeIdentity(z.Name)}
	o.Argv = []string{
		c.Fairlead, "engine", "issue-edge",
		"--state-dir=" + c.Dir.Engine(), "--zone=" + z.Name, "--out=" + c.Dir.EdgeIdentity(z.Name),
	}
	return o
}

func edge(c Config, z layout.Zone) Component {
	o := named(Edge, z.Name)
	o.Namespace = c.Layout.Prefix + layout.EdgeNamespace(z.Name)
	o.After = []string{EdgeIdentity + "-" + z.Name}
	pins := c.Dir.path("bpf", "edge-"+z.Name)
	o.Dirs = []string{c.Dir.Edge(z.Name), pins}
	o.Argv = []string{
		c.Fairlead, "edge",
		"--zone=" + z.Name, "--interface=" + layout.Uplink, "--xdp-mode=native", // its peer takes part
		"--engine=" + controlAddress(edgePort), "--identity=" + c.Dir.EdgeIdentity(z.Name),
		"--state-dir=" + c.Dir.Edge(z.Name), "--pin-dir=" + pins,
		"--metrics-listen=" + localMetrics(), "--access-log-dir=" + c.Dir.path("access-logs"),
	}
	o.Ready = Probe{URL: "http://" + localMetrics() + "/readyz"}
	return o
}

func nodeHelper(c Config, n layout.Node) Component {
	o := c.onNode(NodeHelper, n)
	pins := c.Dir.path("bpf", n.Name)
	o.Dirs = []string{pins}
	o.Argv = []string{
		c.Fairlead, "node", "--interface=" + layout.Uplink, "--pin-dir=" + pins,
		"--metrics-listen=" + localMetrics(),
	}
	o.Ready = Probe{URL: "http://" + localMetrics() + "/readyz"}
	return o
}

// controller takes unclassed Services, because the lab has no other controller
// for them, and probes often enough for people to watch. There is one of it: a
// lease would only make it wait for its own after being killed.
func controller(c Config) Component {
	o := c.control(Controller)
	o.After = []string{Bootstrap, Engine}
	o.Argv = []string{
		c.Fairlead, "controller",
		"--kubeconfig=" + c.Dir.Kubeconfig(Controller),
		"--cluster-name=" + c.Cluster, "--region=" + c.Layout.Region, "--vpc-id=" + c.Layout.VPCID,
		"--take-unclassed", "--leader-elect=false", "--aws-request-rate=0",
		"--default-health-check-interval=5s", "--default-healthy-threshold=2", "--default-unhealthy-threshold=2",
		"--health-listen=" + controllerHealth, "--metrics-listen=" + controllerMetrics,
	}
	o.Ready = Probe{URL: "http://" + controllerHealth + "/readyz"}
	o.Env = []string{
		"AWS_ENDPOINT_URL=http://" + EngineAddress().String(),
		"AWS_REGION=" + c.Layout.Region,
		"AWS_ACCESS_KEY_ID=" + c.Controller.AccessKeyID,
		"AWS_SECRET_ACCESS_KEY=" + c.Controller.SecretAccessKey,
		"AWS_EC2_METADATA_DISABLED=true",
	}
	return o
}
