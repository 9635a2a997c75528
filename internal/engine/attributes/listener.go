package attributes

import (
	"time"

	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/lb"
)

var listeners = table[state.Listener]{
	noun: "Listener",
	attributes: []attribute[state.Listener]{
		{key: lb.AttrTCPIdleTimeout, fallback: constant[state.Listener]("350"), check: between[state.Listener](60, 6000),
			applies: func(l state.Listener) bool { return l.Protocol == lb.TCP || l.Protocol == lb.TCPUDP }},
	},
	elsewhere: []string{"routing."},
	own:       func(l state.Listener) map[string]string { return l.Attributes },
	unfit: func(l state.Listener, key string) string {
		return "Listener attribute key '" + key + "' is not supported on listeners with the protocol '" + string(l.Protocol) + "'"
	},
}

// OfListener returns every attribute with the value in force.
func OfListener(l state.Listener) map[string]string { return listeners.all(l) }

// MergeListener returns l's own attributes after changes.
func MergeListener(l state.Listener, changes map[string]string) (map[string]string, error) {
	return listeners.merge(l, changes)
}

// Idle timeouts that cannot be changed (NLB user guide, listeners).
const (
	udpIdleTimeout = 120 * time.Second
	tlsIdleTimeout = 350 * time.Second
)

// IdleTimeout is how long a flow of the listener lives without a packet. For
// TCP_UDP it is that of TCP.
func IdleTimeout(l state.Listener) time.Duration {
	switch l.Protocol {
	case lb.UDP:
		return udpIdleTimeout
	case lb.TLS:
		return tlsIdleTimeout
	default:
		return seconds(listeners.get(l, lb.AttrTCPIdleTimeout))
	}
}
