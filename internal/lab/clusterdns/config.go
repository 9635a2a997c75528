// Package clusterdns is the lab's cluster DNS: it answers for the names of
// Services and their endpoints from what the API server tells, and asks the
// engine for names of load balancers. No other name exists to it: it never asks
// anyone else, so that no query leaves the machine.
//
// The records follow the specification "Kubernetes DNS-Based Service
// Discovery" 1.1.0. [Zone] is the pure part: from questions to answers.
package clusterdns

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
)

// Config says where to listen, what to watch and whom to ask.
type Config struct {
	Kubeconfig string           // credentials that may read Services, EndpointSlices and Nodes, and write kube-system/kube-dns
	Listen     []netip.AddrPort // UDP and TCP; every address is served with all names
	Domain     string           // cluster.local

	// ServiceIPs are the cluster IPs that the Service kube-system/kube-dns
	// gets, IPv4 first, with Listen as its endpoints. Empty: no Service is made.
	ServiceIPs []netip.Addr

	Engine netip.AddrPort // the engine's DNS server; names of load balancers are asked there
	Region string         // region of the load balancer names that are forwarded

	Logger *slog.Logger
}

// Validate reports every problem of the configuration at once.
func (c Config) Validate() error {
	var errs []error
	if c.Kubeconfig == "" {
		errs = append(errs, errors.New("--kubeconfig is empty; it must be a kubeconfig file"))
	}
	if len(c.Listen) == 0 {
		errs = append(errs, errors.New("--listen is empty; it must be at least one address with port"))
	}
	if c.Domain == "" {
		errs = append(errs, errors.New("--domain is empty; it must be a domain such as cluster.local"))
	}
	if !c.Engine.IsValid() {
		errs = append(errs, errors.New("--engine is empty; it must be the address and port of the engine's DNS server"))
	}
	if c.Region == "" {
		errs = append(errs, errors.New("--region is empty; it must be the region of the load balancers"))
	}
	for _, l := range c.Listen {
		if l.Addr().IsUnspecified() && len(c.ServiceIPs) > 0 {
			errs = append(errs, fmt.Errorf("--listen %s cannot be the endpoint of a Service; name an address", l))
		}
	}
	return errors.Join(errs...)
}
