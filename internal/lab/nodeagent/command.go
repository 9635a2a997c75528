package nodeagent

import (
	"log/slog"
	"net/netip"
	"os"

	"github.com/spf13/cobra"

	"github.com/fairlead-lb/fairlead/internal/cli"
	"github.com/fairlead-lb/fairlead/internal/lab/nodeagent/nginx"
	"github.com/fairlead-lb/fairlead/internal/lab/nodeagent/podplan"
	"github.com/fairlead-lb/fairlead/internal/lab/nodeagent/sandbox"
)

// Names of the hidden subcommands. The agent calls its own program by them.
const (
	commandName = "node-agent"
	initName    = "container-init"
)

// NewCommand returns the hidden subcommand that runs a node.
func NewCommand() *cobra.Command {
	var cfg Config
	var f addressFlags
	self, _ := os.Executable() // empty if unknown: then the flag has to be given
	cmd := &cobra.Command{
		Use: commandName, Short: "Run one node of the lab", Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.into(&cfg); err != nil {
				return err
			}
			if err := cfg.Validate(); err != nil {
				return cli.Usagef("%w", err)
			}
			cfg.Logger = cli.Logger(os.Stderr, slog.LevelInfo)
			return Run(cmd.Context(), cfg)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&cfg.NodeName, "node-name", "", "name of the Node object, and the node's host name")
	flags.StringVar(&cfg.ProviderID, "provider-id", "", "provider ID of the node: aws:///ZONE/i-…")
	flags.StringVar(&cfg.Region, "region", "", "region of the node")
	flags.StringVar(&cfg.Zone, "zone", "", "zone of the node")
	flags.StringSliceVar(&f.nodeIPs, "node-ip", nil, "address of the node, the primary first; one per family")
	flags.StringSliceVar(&f.podCIDRs, "pod-cidr", nil, "range of pod addresses; one per family, in the order of --node-ip")
	flags.StringVar(&cfg.Uplink, "uplink", "eth0", "interface towards the VPC")
	flags.StringVar(&cfg.Kubeconfig, "kubeconfig", "", "kubeconfig file with the node's credentials")
	flags.StringVar(&cfg.ClientCAFile, "client-ca", "", "PEM file of the CA whose certificates may call the kubelet API")
	flags.StringVar(&cfg.ServingCertFile, "serving-cert", "", "PEM file of the kubelet API's certificate")
	flags.StringVar(&cfg.ServingKeyFile, "serving-key", "", "PEM file of its key")
	flags.StringVar(&f.listen, "listen", "0.0.0.0:10250", "address and port of the kubelet API")
	flags.StringSliceVar(&f.dns, "cluster-dns", nil, "address of the cluster's DNS server for pods; may repeat")
	flags.StringVar(&cfg.ClusterDomain, "cluster-domain", "cluster.local", "domain of the cluster's names")
	flags.StringVar(&cfg.KubeBinary, "kube-binary", "", "path of the multi-call kube binary, which is agnhost in pods")
	flags.StringVar(&cfg.LabBinary, "lab-binary", self, "path of fairlead-lab, which is nginx in pods")
	flags.StringVar(&cfg.StateDir, "state-dir", "", "absolute path of the agent's own directory")
	cmd.AddCommand(newInitCommand())
	return cmd
}

// addressFlags are flags that are parsed after they were read.
type addressFlags struct {
	nodeIPs, podCIDRs, dns []string
	listen                 string
}

func (f addressFlags) into(cfg *Config) error {
	for _, s := range f.nodeIPs {
		ip, err := netip.ParseAddr(s)
		if err != nil {
			return cli.Usagef("--node-ip %q: %w", s, err)
		}
		cfg.NodeIPs = append(cfg.NodeIPs, ip)
	}
	for _, s := range f.podCIDRs {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return cli.Usagef("--pod-cidr %q: %w", s, err)
		}
		cfg.PodCIDRs = append(cfg.PodCIDRs, p)
	}
	for _, s := range f.dns {
		ip, err := netip.ParseAddr(s)
		if err != nil {
			return cli.Usagef("--cluster-dns %q: %w", s, err)
		}
		cfg.ClusterDNS = append(cfg.ClusterDNS, ip)
	}
	listen, err := netip.ParseAddrPort(f.listen)
	if err != nil {
		return cli.Usagef("--listen %q: %w", f.listen, err)
	}
	cfg.KubeletListen = listen
	return nil
}

// newInitCommand is the first process of every container.
func newInitCommand() *cobra.Command {
	return &cobra.Command{
		Use: initName, Short: "Become a container (called by the node agent)", Hidden: true, Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return sandbox.RunInit() },
	}
}

// NewNginxCommand returns the hidden subcommand that is nginx in pods.
func NewNginxCommand() *cobra.Command {
	cfg := nginx.Config{AccessLog: os.Stdout}
	var ignored string
	cmd := &cobra.Command{
		Use: nginx.CommandName, Short: "Serve HTTP as the lab's nginx image", Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return nginx.Run(cmd.Context(), cfg) },
	}
	flags := cmd.Flags()
	flags.Uint16Var(&cfg.Port, "port", 80, "TCP port to listen on, on all addresses")
	flags.StringVar(&cfg.FactsFile, "facts", podplan.FactsPath, "JSON file that says which pod this is")
	// Manifests written for nginx itself say -g "daemon off;".
	flags.StringVarP(&ignored, "global", "g", "", "accepted as nginx does, without effect")
	return cmd
}
