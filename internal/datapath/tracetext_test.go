package datapath

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-lb/fairlead/internal/lb"
)

// What people read of a trace, word by word.
func TestWordsOfATrace(t *testing.T) {
	const some, one, none = 2, 3, 4
	have := newContents()
	have.vips[netip.MustParseAddr("198.18.0.100")] = edgeVip{}
	for set, prefixes := range map[uint64][]string{some: {"10.0.0.0/8", "192.0.2.0/24"}, one: {"192.0.2.0/24"}} {
		for _, p := range prefixes {
			have.clients[client{set, netip.MustParsePrefix(p)}] = struct{}{}
		}
	}
	listener := func(l edgeListener) func(Trace) string {
		return func(t Trace) string { return t.describeListener(l, true, Names{}) }
	}
	clients := func(set uint64) func(Trace) string {
		return func(t Trace) string { return t.describeClients(edgeListener{Clients: set}) }
	}
	no := func(t Trace) string { return t.describeListener(edgeListener{}, false, Names{}) }
	syn := Query{lb.TCP, netip.MustParseAddrPort("203.0.113.10:4000"), netip.MustParseAddrPort("198.18.0.100:80"), true, 7}
	datagram, inside, reply := syn, syn, syn
	datagram.Protocol, datagram.SYN = lb.UDP, false
	inside.From = netip.MustParseAddrPort("192.0.2.1:4000")
	reply.From, reply.To, reply.SYN = netip.MustParseAddrPort("198.18.0.21:8080"), syn.From, false
	for want, c := range map[string]struct {
		query Query
		text  func(Trace) string
	}{
		"TCP SYN with sequence number 7, 203.0.113.10:4000 to 198.18.0.100:80":                                  {syn, Trace.packet},
		"UDP datagram, 203.0.113.10:4000 to 198.18.0.100:80":                                                    {datagram, Trace.packet},
		"TCP ACK, 198.18.0.21:8080 to 203.0.113.10:4000":                                                        {reply, Trace.packet},
		"TCP 198.18.0.100:80, idle timeout 350 s, no target groups":                                             {syn, listener(edgeListener{IdleSeconds: 350})},
		"TCP 198.18.0.100:80, idle timeout 350 s, 1 target group":                                               {syn, listener(edgeListener{IdleSeconds: 350, Choices: 1})},
		"UDP 198.18.0.100:80, idle timeout 120 s, 2 target groups":                                              {datagram, listener(edgeListener{IdleSeconds: 120, Choices: 2})},
		"TCP 198.18.0.100:80, idle timeout 60 s, no target groups; served in user space":                        {syn, listener(edgeListener{IdleSeconds: 60, Flags: listenerLocal})},
		"none: no UDP listener at port 80 of this load balancer address":                                        {datagram, no},
		"none: the destination is no load balancer address, so this may be a reply":                             {reply, no},
		"everyone may open flows":                                                                               {syn, clients(clientsEveryone)},
		"security groups: 203.0.113.10 is in none of the 2 prefixes that are let in":                            {syn, clients(some)},
		"security groups: 192.0.2.0/24 alone is let in, 203.0.113.10 is outside":                                {syn, clients(one)},
		"security groups: nobody is let in":                                                                     {syn, clients(none)},
		"security groups: 192.0.2.1 is let in by 192.0.2.0/24":                                                  {inside, clients(some)},
		"none, and the port is no source port of one":                                                           {syn, func(t Trace) string { t.walk.Wanted.Hash = 1; t.walk.Advance.Step = 2; return t.describeFlow(false) }},
		"TCP 198.18.0.100:80, idle timeout 60 s, no target groups; deleted, and kept for the flows that it has": {syn, listener(edgeListener{IdleSeconds: 60, Flags: listenerDeleted})},
	} {
		if diff := cmp.Diff(want, c.text(Trace{query: c.query, have: have})); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}
