package lb

import (
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"
)

// Admission names, for each transport, the set of clients whose new flows may
// pass; the empty name is everyone. Flows that exist are not asked again.
type Admission struct {
	TCP string `json:"tcp,omitempty"` // of TLS too
	UDP string `json:"udp,omitempty"`
}

// Of is the set of a transport, TCP or UDP.
func (a Admission) Of(transport Protocol) string {
	if transport == UDP {
		return a.UDP
	}
	return a.TCP
}

// Set names the set of a transport, TCP or UDP.
func (a *Admission) Set(transport Protocol, name string) {
	if transport == UDP {
		a.UDP = name
	} else {
		a.TCP = name
	}
}

// Transports are the transports that a protocol of listeners and target groups
// stands for, TCP and UDP.
func (p Protocol) Transports() []Protocol {
	switch p {
	case UDP:
		return []Protocol{UDP}
	case TCPUDP:
		return []Protocol{TCP, UDP}
	default:
		return []Protocol{TCP}
	}
}

// ClientSets are sets of addresses by name. A name is made of what is in the
// set, so that sets of one name are equal wherever they come from.
type ClientSets map[string][]netip.Prefix

// Add puts a set in and returns its name. The prefixes are in order; none is the
// set of nobody, be it nil or empty.
func (s ClientSets) Add(prefixes []netip.Prefix) string {
	if prefixes == nil {
		prefixes = []netip.Prefix{}
	}
	text := make([]string, len(prefixes))
	for i, p := range prefixes {
		text[i] = p.String()
	}
	sum := sha256.Sum256([]byte(strings.Join(text, " ")))
	name := hex.EncodeToString(sum[:12])
	s[name] = prefixes
	return name
}

// Admits reports whether a client is in a set. Everyone is in the set without a
// name; nobody is in a set that is not there.
func (s ClientSets) Admits(name string, client netip.Addr) bool {
	client = client.Unmap()
	return name == "" || slices.ContainsFunc(s[name], func(p netip.Prefix) bool { return p.Contains(client) })
}
