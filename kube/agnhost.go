package main

import (
	"github.com/spf13/cobra"

	auditproxy "k8s.io/kubernetes/test/images/agnhost/audit-proxy"
	"k8s.io/kubernetes/test/images/agnhost/connect"
	crdconvwebhook "k8s.io/kubernetes/test/images/agnhost/crd-conversion-webhook"
	"k8s.io/kubernetes/test/images/agnhost/dns"
	entrypoint "k8s.io/kubernetes/test/images/agnhost/entrypoint-tester"
	externalmetrics "k8s.io/kubernetes/test/images/agnhost/external-metrics"
	"k8s.io/kubernetes/test/images/agnhost/fakegitserver"
	"k8s.io/kubernetes/test/images/agnhost/fakeregistryserver"
	grpchealthchecking "k8s.io/kubernetes/test/images/agnhost/grpc-health-checking"
	"k8s.io/kubernetes/test/images/agnhost/guestbook"
	"k8s.io/kubernetes/test/images/agnhost/inclusterclient"
	"k8s.io/kubernetes/test/images/agnhost/liveness"
	logsgen "k8s.io/kubernetes/test/images/agnhost/logs-generator"
	"k8s.io/kubernetes/test/images/agnhost/mounttest"
	"k8s.io/kubernetes/test/images/agnhost/mtlsclient"
	"k8s.io/kubernetes/test/images/agnhost/mtlsserver"
	"k8s.io/kubernetes/test/images/agnhost/net"
	"k8s.io/kubernetes/test/images/agnhost/netexec"
	"k8s.io/kubernetes/test/images/agnhost/nettest"
	nosnat "k8s.io/kubernetes/test/images/agnhost/no-snat-test"
	nosnatproxy "k8s.io/kubernetes/test/images/agnhost/no-snat-test-proxy"
	"k8s.io/kubernetes/test/images/agnhost/nonewprivs"
	"k8s.io/kubernetes/test/images/agnhost/openidmetadata"
	"k8s.io/kubernetes/test/images/agnhost/pause"
	"k8s.io/kubernetes/test/images/agnhost/podcertificatesigner"
	portforwardtester "k8s.io/kubernetes/test/images/agnhost/port-forward-tester"
	"k8s.io/kubernetes/test/images/agnhost/porter"
	resconsumerctrl "k8s.io/kubernetes/test/images/agnhost/resource-consumer-controller"
	servehostname "k8s.io/kubernetes/test/images/agnhost/serve-hostname"
	tcpreset "k8s.io/kubernetes/test/images/agnhost/tcp-reset"
	testwebserver "k8s.io/kubernetes/test/images/agnhost/test-webserver"
	"k8s.io/kubernetes/test/images/agnhost/webhook"
	"k8s.io/kubernetes/third_party/forked/vishhstress"
)

// agnhostVersion is what upstream's image VERSION file says at the Kubernetes
// release this module is pinned to.
const agnhostVersion = "2.63.0"

// newAgnhostCommand assembles agnhost's root command. Upstream does this in a
// main package, which cannot be imported, so the list is repeated here.
func newAgnhostCommand() *cobra.Command {
	root := &cobra.Command{Use: "agnhost", Version: agnhostVersion}
	root.AddCommand(
		auditproxy.CmdAuditProxy,
		connect.CmdConnect,
		crdconvwebhook.CmdCrdConversionWebhook,
		dns.CmdDNSSuffix,
		dns.CmdDNSServerList,
		dns.CmdEtcHosts,
		entrypoint.CmdEntrypointTester,
		fakegitserver.CmdFakeGitServer,
		fakeregistryserver.CmdFakeRegistryServer,
		guestbook.CmdGuestbook,
		inclusterclient.CmdInClusterClient,
		liveness.CmdLiveness,
		logsgen.CmdLogsGenerator,
		mounttest.CmdMounttest,
		net.CmdNet,
		netexec.CmdNetexec,
		nettest.CmdNettest,
		nosnat.CmdNoSnatTest,
		nosnatproxy.CmdNoSnatTestProxy,
		pause.CmdPause,
		porter.CmdPorter,
		portforwardtester.CmdPortForwardTester,
		resconsumerctrl.CmdResourceConsumerController,
		servehostname.CmdServeHostname,
		testwebserver.CmdTestWebserver,
		tcpreset.CmdTCPReset,
		webhook.CmdWebhook,
		openidmetadata.CmdTestServiceAccountIssuerDiscovery,
		grpchealthchecking.CmdGrpcHealthChecking,
		vishhstress.CmdStress,
		podcertificatesigner.CmdPodCertificateSigner,
		mtlsclient.CmdMtlsClient,
		mtlsserver.CmdMtlsServer,
		nonewprivs.CmdNoNewPrivs,
		externalmetrics.CmdExternalMetricsServer,
	)
	return root
}
