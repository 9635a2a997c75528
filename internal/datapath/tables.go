package datapath

import (
	"net/netip"
	"time"

	"github.com/fairlead-lb/fairlead/internal/lb"
)

// Tables is what the data path should do, in the words of load balancers: what
// Desired returns and Apply turns into map contents. Everything is sorted, so
// equal inputs give equal Tables.
type Tables struct {
	Revision  uint64 // of the snapshot
	Balancers []Balancer
	Listeners []Listener
	Groups    []Group

	// Instances are the addresses of each instance that targets name. Clients
	// inside them cannot be answered by a target of the same instance.
	Instances map[string][]netip.Prefix

	// Clients are sets of clients by name, as security groups let them through.
	// Each is of one address family. Everyone has the empty name and no entry.
	Clients map[string][]netip.Prefix

	// Unserved says which listeners and targets this data path has to leave out,
	// each with the reason.
	Unserved []string
}

// Balancer is a load balancer and the addresses at which it is reached here.
type Balancer struct {
	ARN   string
	Addrs []netip.Addr
	Echo  map[netip.Addr]string // by address, the clients whose echo requests are let in
}

// Listener is one address, port and protocol that is served.
type Listener struct {
	ARN      string
	Balancer string // the load balancer's ARN
	VIP      netip.Addr
	Port     uint16
	Protocol lb.Protocol   // TCP or UDP
	Idle     time.Duration // after which a flow without packets is forgotten
	Forward  []Choice
	Clients  string // key of Tables.Clients: those that may open flows
	Sticky   bool   // which choice a flow goes to follows from its client's address
	Local    bool   // a socket of this machine serves it: new flows go to the kernel
}

// Choice is one group of a forward action. Flows are spread by weight over all
// choices; at least one weight is positive, or there are no choices.
type Choice struct {
	Group  string // ARN
	Weight int
}

// Group is a target group.
type Group struct {
	ARN       string
	SourceNAT bool // targets see the load balancer's address, not the client's
	Sticky    bool // by source address
	FailOpen  bool // too few healthy targets: all get traffic
	Targets   []Target
}

// Target is one address and port that flows of a group go to.
type Target struct {
	Addr       netip.AddrPort
	Selectable bool   // new flows may go here
	Terminate  bool   // established flows end with a reset on the client's next packet
	OnLeave    bool   // Terminate once the target is no longer in the snapshot
	Instance   string // key of Tables.Instances; empty when it has no known siblings

	NoTCP, NoUDP           bool   // outbound rules keep new flows from it
	ClientsTCP, ClientsUDP string // keys of Tables.Clients: those whose new flows it takes
}
