//go:build e2e

// Command e2e is Kubernetes' own LoadBalancer specs as a program: the specs
// are compiled in as they are released, and nothing of them is changed.
//
// Its flags are the upstream e2e binary's. It ends with 1 when a spec failed.
package main

import (
	"flag"
	"os"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"

	_ "k8s.io/kubernetes/test/e2e" // what runs before and after a suite
	"k8s.io/kubernetes/test/e2e/framework"
	"k8s.io/kubernetes/test/e2e/framework/config"
	_ "k8s.io/kubernetes/test/e2e/framework/debug/init"
	_ "k8s.io/kubernetes/test/e2e/framework/node/init"
	_ "k8s.io/kubernetes/test/e2e/network"
)

// specs are those with these words in their texts: all of
// test/e2e/network/loadbalancer.go.
const specs = `\[sig-network\] LoadBalancers `

func main() {
	config.CopyFlags(config.Flags, flag.CommandLine)
	framework.RegisterCommonFlags(flag.CommandLine)
	framework.RegisterClusterFlags(flag.CommandLine)
	flag.Parse()
	framework.AfterReadingAllFlags(&framework.TestContext)
	gomega.RegisterFailHandler(framework.Fail)
	suite, reporter := framework.CreateGinkgoConfig()
	if len(suite.FocusStrings) == 0 {
		suite.FocusStrings, suite.SkipStrings = []string{specs}, nil
	}
	if !ginkgo.RunSpecs(exitCode{}, "Kubernetes LoadBalancer specs", suite, reporter) {
		os.Exit(1)
	}
}

// exitCode stands where a test would be told of a failure; what RunSpecs
// returns says the same.
type exitCode struct{}

func (exitCode) Fail() {}
