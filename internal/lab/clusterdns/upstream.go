package clusterdns

import (
	"errors"
	"net/netip"
	"time"

	"github.com/miekg/dns"
)

// Bounds of the queries to the engine.
const (
	upstreamTimeout = 2 * time.Second
	maxInFlight     = 128
)

// upstream asks the engine for the names of load balancers.
type upstream struct {
	addr     string
	suffixes []string
	inFlight chan struct{} // a place per query under way
}

// newUpstream knows the two forms of load balancers' names on AWS: Network Load
// Balancers are NAME-ID.elb.REGION.amazonaws.com, Classic ones
// NAME-ID.REGION.elb.amazonaws.com.
func newUpstream(addr netip.AddrPort, region string) upstream {
	return upstream{
		addr:     addr.String(),
		suffixes: []string{"elb." + region + ".amazonaws.com.", region + ".elb.amazonaws.com."},
		inFlight: make(chan struct{}, maxInFlight),
	}
}

func (u upstream) knows(name string) bool {
	for _, s := range u.suffixes {
		if dns.IsSubDomain(s, name) {
			return true
		}
	}
	return false
}

var errBusy = errors.New("too many queries are under way")

// ask asks over UDP, and over TCP when the answer does not fit.
func (u upstream) ask(q dns.Question) (*dns.Msg, error) {
	select {
	case u.inFlight <- struct{}{}:
		defer func() { <-u.inFlight }()
	default:
		return nil, errBusy
	}
	m := new(dns.Msg)
	m.SetQuestion(q.Name, q.Qtype)
	m.SetEdns0(dns.DefaultMsgSize, false)
	client := dns.Client{Timeout: upstreamTimeout}
	got, _, err := client.Exchange(m, u.addr)
	if err == nil && got.Truncated {
		client.Net = "tcp"
		got, _, err = client.Exchange(m, u.addr)
	}
	return got, err
}
