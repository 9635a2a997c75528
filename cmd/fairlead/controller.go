package main

import (
	"cmp"
	"context"
	"log/slog"
	"math"
	"os"
	"regexp"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/fairlead-lb/fairlead/internal/cli"
	"github.com/fairlead-lb/fairlead/internal/cloud/awssdk"
	"github.com/fairlead-lb/fairlead/internal/controller"
	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/owner"
)

// controllerFlags are the flags of the controller command.
type controllerFlags struct {
	kubeconfig, cluster, region, vpc string
	scheme, targetType               string
	level                            slog.Level
	requestRate                      float64
	config                           controller.Config
}

func newControllerCommand() *cobra.Command {
	var f controllerFlags
	cmd := &cobra.Command{
		Use:   "controller",
		Short: "Give Services of type LoadBalancer their load balancers",
		Long: "controller watches Services, nodes and endpoint slices and keeps load balancers through the AWS API.\n" +
			"Credentials and endpoints come from the SDK's own environment: AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, roles and so on.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd.Context()) },
	}
	f.register(cmd)
	return cmd
}

func (f *controllerFlags) register(cmd *cobra.Command) {
	f.registerShared(cmd)
	fl, c := cmd.Flags(), &f.config
	fl.IntVar(&c.Workers, "workers", 5, "Services worked on at the same time")
	fl.DurationVar(&c.Sweep, "resync", 6*time.Hour, "how often all Services are compared with AWS though nothing changed, give or take a tenth, in calls about twenty resources each")
	fl.DurationVar(&c.Resync, "deep-resync", 48*time.Hour, "how often each Service is compared with AWS by itself, targets and attributes too, give or take a tenth")
	fl.DurationVar(&c.RetryMax, "retry-max", time.Minute, "longest time between tries after errors that time may cure")
	fl.BoolVar(&c.LeaderElection, "leader-elect", true, "work only while holding the lease fairlead-controller")
	fl.StringVar(&c.LeaseNamespace, "leader-elect-namespace", "kube-system", "namespace of the lease")
	fl.StringVar(&c.MetricsListen, "metrics-listen", "127.0.0.1:7470", "host:port of /metrics; empty or 0: none")
	fl.StringVar(&c.HealthListen, "health-listen", "127.0.0.1:7471", "host:port of /healthz and /readyz; empty or 0: none")
}

// registerShared are the flags that decide what a Service gets: a preview needs
// them as well.
func (f *controllerFlags) registerShared(cmd *cobra.Command) {
	fl, c := cmd.Flags(), &f.config
	fl.StringVar(&f.kubeconfig, "kubeconfig", os.Getenv("KUBECONFIG"), "kubeconfig file; empty: the pod's own service account")
	fl.StringVar(&f.cluster, "cluster-name", "", "the cluster's name in tags and names of AWS resources (required)")
	fl.StringVar(&f.region, "region", "", "AWS region; empty: from the environment, or the instance's metadata")
	fl.StringVar(&f.vpc, "vpc-id", "", "VPC of the load balancers; empty: from the instance's metadata")
	fl.BoolVar(&c.TakeUnclassed, "take-unclassed", false, "take Services without spec.loadBalancerClass too; only where no other service controller runs")
	fl.Float64Var(&f.requestRate, "aws-request-rate", 1, "AWS calls per second at most, relative to what AWS publishes for an account; 0: no limit, for an endpoint of one's own")
	fl.StringVar(&f.scheme, "default-scheme", string(lb.InternetFacing), "scheme of load balancers that do not say: internet-facing or internal")
	fl.StringVar(&f.targetType, "default-target-type", string(lb.InstanceTarget), "target type of Services that do not say: instance or ip")
	fl.DurationVar(&c.Defaults.HealthInterval, "default-health-check-interval", 10*time.Second, "time between health checks, 5s to 300s")
	fl.IntVar(&c.Defaults.HealthyThreshold, "default-healthy-threshold", 3, "passed checks in a row that make a target healthy, 2 to 10")
	fl.IntVar(&c.Defaults.UnhealthyThreshold, "default-unhealthy-threshold", 3, "failed checks in a row that make a target unhealthy, 2 to 10")
	cli.LogLevel(fl, &f.level)
	c.Workers, c.Sweep, c.Resync, c.RetryMax, c.RetryBase = 1, time.Hour, time.Hour, time.Minute, 200*time.Millisecond
	c.MetricsListen, c.HealthListen = none, none
}

// none is a listener that is not wanted, in controller-runtime's words.
const none = "0"

var (
	regionPattern  = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)+$`)
	vpcPattern     = regexp.MustCompile(`^vpc-[0-9a-z-]+$`)
	clusterPattern = regexp.MustCompile(`^[A-Za-z0-9_.:/=+@-]{1,100}$`) // with its prefix a tag key of EC2
)

// check notes everything that is wrong with the flags.
func (f *controllerFlags) check(p *cli.Problems) {
	p.Required("cluster-name", f.cluster)
	p.Unless(f.cluster == "" || clusterPattern.MatchString(f.cluster), "--cluster-name %q: must be 1 to 100 letters, digits or characters of _.:/=+@-", f.cluster)
	p.Unless(f.region == "" || regionPattern.MatchString(f.region), "--region %q: must be a region such as us-west-2", f.region)
	p.Unless(f.vpc == "" || vpcPattern.MatchString(f.vpc), "--vpc-id %q: must be an ID such as vpc-0a1b2c3d4e5f67890", f.vpc)
	p.Unless(f.requestRate >= 0, "--aws-request-rate %g: must not be negative", f.requestRate)
	f.checkDefaults(p)
	f.checkLoop(p)
}

// checkDefaults looks at what Services get that do not say.
func (f *controllerFlags) checkDefaults(p *cli.Problems) {
	d := &f.config.Defaults
	p.Unless(f.scheme == string(lb.InternetFacing) || f.scheme == string(lb.Internal), "--default-scheme %q: must be internet-facing or internal", f.scheme)
	p.Unless(f.targetType == string(lb.InstanceTarget) || f.targetType == string(lb.IPTarget), "--default-target-type %q: must be instance or ip", f.targetType)
	p.Unless(d.HealthInterval >= 5*time.Second && d.HealthInterval <= 300*time.Second && d.HealthInterval%time.Second == 0, "--default-health-check-interval %s: must be whole seconds from 5s to 300s", d.HealthInterval)
	p.Unless(d.HealthyThreshold >= 2 && d.HealthyThreshold <= 10, "--default-healthy-threshold %d: must be 2 to 10", d.HealthyThreshold)
	p.Unless(d.UnhealthyThreshold >= 2 && d.UnhealthyThreshold <= 10, "--default-unhealthy-threshold %d: must be 2 to 10", d.UnhealthyThreshold)
}

// checkLoop looks at what the controller alone needs; a preview leaves it as it is.
func (f *controllerFlags) checkLoop(p *cli.Problems) {
	c := &f.config
	p.Unless(c.Workers >= 1, "--workers %d: must be at least 1", c.Workers)
	p.Unless(c.Sweep >= time.Minute, "--resync %s: must be at least 1m", c.Sweep)
	p.Unless(c.Resync >= time.Minute, "--deep-resync %s: must be at least 1m", c.Resync)
	p.Unless(c.RetryMax >= time.Second, "--retry-max %s: must be at least 1s", c.RetryMax)
	for _, listen := range []struct {
		flag  string
		value *string
	}{{"metrics-listen", &c.MetricsListen}, {"health-listen", &c.HealthListen}} {
		if *listen.value = cmp.Or(*listen.value, none); *listen.value != none {
			p.HostPort(listen.flag, *listen.value)
		}
	}
}

func (f *controllerFlags) run(ctx context.Context) error {
	var p cli.Problems
	if f.check(&p); p.Err() != nil {
		return p.Err()
	}
	c, err := f.complete(ctx)
	if err != nil {
		return err
	}
	if err := reach(ctx, c.Kube); err != nil {
		return &cli.Error{What: "reach the API server at " + c.Kube.Host, Err: err, Hint: "look at the server and the credentials in the kubeconfig file; 'kubectl version' asks the same"}
	}
	return controller.Run(ctx, c)
}

// reach asks the API server for its version: what is wrong with the way there
// is said in one line, before anything begins.
func reach(ctx context.Context, kube *rest.Config) error {
	kube = rest.CopyConfig(kube)
	kube.Timeout = 30 * time.Second
	client, err := kubernetes.NewForConfig(kube)
	if err != nil {
		return err
	}
	return client.Discovery().RESTClient().Get().AbsPath("/version").Do(ctx).Error()
}

// complete makes a whole configuration of flags that were checked.
func (f *controllerFlags) complete(ctx context.Context) (controller.Config, error) {
	c := f.config
	kube, err := kubeConfig(f.kubeconfig)
	if err != nil {
		return c, &cli.Error{What: "find the API server", Err: err, Hint: "name a kubeconfig file with --kubeconfig or KUBECONFIG, or run in a pod with a service account"}
	}
	if f.region, f.vpc, err = awssdk.Place(ctx, f.region, f.vpc); err != nil {
		return c, &cli.Error{What: "find the region and the VPC", Err: err, Hint: "give --region and --vpc-id: only on an EC2 instance, and in pods that may ask its metadata, they are known without"}
	}
	c.Kube, c.Log, c.Registry, c.Cluster = kube, cli.Logger(os.Stderr, f.level), prometheus.NewRegistry(), f.cluster
	c.VPCID = f.vpc
	c.Defaults.Scheme, c.Defaults.TargetType = lb.Scheme(f.scheme), lb.TargetType(f.targetType)
	c.API, err = awssdk.New(ctx, awssdk.Config{
		Region: f.region, VPCID: f.vpc, Description: owner.Cluster(f.cluster).RuleDescription(), Registerer: c.Registry, RequestRate: f.budget(),
	})
	if err != nil {
		return c, &cli.Error{What: "set up the AWS client", Err: err, Hint: "set AWS_REGION or --region; credentials come from the SDK's own chain"}
	}
	return c, nil
}

func (f *controllerFlags) budget() float64 {
	if f.requestRate == 0 {
		return math.Inf(1)
	}
	return f.requestRate
}

func kubeConfig(path string) (*rest.Config, error) {
	load := rest.InClusterConfig
	if path != "" {
		load = func() (*rest.Config, error) { return clientcmd.BuildConfigFromFlags("", path) }
	}
	cfg, err := load()
	if err != nil {
		return nil, err
	}
	cfg.QPS, cfg.Burst = 100, 200 // the API server has its own fairness; the default of 5 would slow restarts
	return cfg, nil
}
