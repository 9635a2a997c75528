package main

import (
	"os"
	_ "time/tzdata" // CronJob time zones, on machines without a zone database

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.etcd.io/etcd/server/v3/etcdmain"

	_ "k8s.io/client-go/plugin/pkg/client/auth" // kubectl's credential plugins
	"k8s.io/component-base/cli"
	"k8s.io/component-base/logs"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	kubectl "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
)

// component is one program of the binary. run takes its arguments from os.Args,
// as the program would on its own, and returns the exit code.
type component struct {
	name  string
	about string
	run   func() int
}

// components lists the programs. Their commands are built only when run:
// building one registers flags, metrics and feature gates in globals that the
// others would find taken.
func components() []component {
	return []component{
		{"etcd", "the key-value store behind the API server", runEtcd},
		{"kube-apiserver", "the Kubernetes API", command(apiserver.NewAPIServerCommand)},
		{"kube-controller-manager", "the built-in controllers", command(controllermanager.NewControllerManagerCommand)},
		{"kube-scheduler", "assigns pods to nodes", command(newScheduler)},
		{"kube-proxy", "implements Services on a node", command(proxy.NewProxyCommand)},
		{"kubectl", "the command line client", runKubectl},
		{"agnhost", "the server and client that Kubernetes tests run in pods", runAgnhost},
	}
}

// command runs a cobra command as every Kubernetes daemon's main does.
func command(build func() *cobra.Command) func() int {
	return func() int { return cli.Run(build()) }
}

// newScheduler leaves out the scheduler's optional plugins.
func newScheduler() *cobra.Command { return scheduler.NewSchedulerCommand() }

// runEtcd returns only after etcd has stopped cleanly; it exits by itself on
// failure.
func runEtcd() int {
	etcdmain.Main(os.Args)
	return 0
}

// runKubectl mirrors kubectl's main: verbosity is read before the command is
// built, because building it already logs, and errors are printed kubectl's way.
func runKubectl() int {
	forgetGlobalFlags()
	_, _ = logs.GlogSetter(kubectl.GetLogVerbosity(os.Args)) // a bad value is reported when flags are parsed
	if err := cli.RunNoErrOutput(kubectl.NewDefaultKubectlCommand()); err != nil {
		kubectlutil.CheckErr(err) // exits
	}
	return 0
}

func runAgnhost() int {
	forgetGlobalFlags()
	return cli.Run(newAgnhostCommand())
}

// forgetGlobalFlags drops the flags that packages registered while the program
// was loaded. The daemons want theirs (--version is one), but cobra would give
// them to kubectl and agnhost too, which upstream are linked without them.
func forgetGlobalFlags() {
	pflag.CommandLine = pflag.NewFlagSet(os.Args[0], pflag.ExitOnError)
}
