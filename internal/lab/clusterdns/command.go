package clusterdns

import (
	"log/slog"
	"net/netip"
	"os"

	"github.com/spf13/cobra"

	"github.com/fairlead-lb/fairlead/internal/cli"
)

// NewCommand returns the hidden subcommand that runs the cluster DNS.
func NewCommand() *cobra.Command {
	var cfg Config
	var f addressFlags
	cmd := &cobra.Command{
		Use: "cluster-dns", Short: "Run the lab's cluster DNS", Hidden: true, Args: cobra.NoArgs,
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
	flags.StringVar(&cfg.Kubeconfig, "kubeconfig", "", "kubeconfig file with the credentials of the cluster DNS")
	flags.StringSliceVar(&f.listen, "listen", nil, "address and port to answer on, over UDP and TCP; may repeat")
	flags.StringVar(&cfg.Domain, "domain", "cluster.local", "domain of the cluster's names")
	flags.StringSliceVar(&f.serviceIPs, "service-ip", nil, "cluster IP of the Service kube-system/kube-dns, IPv4 first; none: no Service is made")
	flags.StringVar(&f.engine, "engine", "", "address and port of the engine's DNS server, which knows load balancers")
	flags.StringVar(&cfg.Region, "region", "", "region of the load balancers")
	return cmd
}

// addressFlags are flags that are parsed after they were read.
type addressFlags struct {
	listen, serviceIPs []string
	engine             string
}

func (f addressFlags) into(cfg *Config) error {
	for _, s := range f.listen {
		ap, err := netip.ParseAddrPort(s)
		if err != nil {
			return cli.Usagef("--listen %q: %w", s, err)
		}
		cfg.Listen = append(cfg.Listen, ap)
	}
	for _, s := range f.serviceIPs {
		ip, err := netip.ParseAddr(s)
		if err != nil {
			return cli.Usagef("--service-ip %q: %w", s, err)
		}
		cfg.ServiceIPs = append(cfg.ServiceIPs, ip)
	}
	if f.engine == "" {
		return nil // Validate says so, together with all else
	}
	engine, err := netip.ParseAddrPort(f.engine)
	if err != nil {
		return cli.Usagef("--engine %q: %w", f.engine, err)
	}
	cfg.Engine = engine
	return nil
}
