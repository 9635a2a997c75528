package datapath

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/fairlead-lb/fairlead/internal/lb"
)

// Trace is the way of a packet through the program.
type Trace struct {
	Reason string // what became of it, as the counters name it, such as sent_to_target

	query    Query
	settings edgeSetting
	have     contents
	walk     edgeWalk
	events   map[string]uint64
	frame    []byte // afterwards
}

// Line is one stage of the way.
type Line struct {
	Stage string `json:"stage"`
	Text  string `json:"text"`
}

// Steps of enum step in bpf/tcp.h.
const (
	stepDeliver = 0
	stepOpen    = 1
	stepIdle    = 3
	stepRefused = 4
	stepFull    = 5
)

// Names of what the maps know by digests only: ARNs.
type Names struct {
	Listeners map[Socket]string
	Groups    []string
}

// Socket is what a listener is reached at.
type Socket struct {
	At       netip.AddrPort
	Protocol lb.Protocol
}

// NamesOf are the names in a snapshot.
func NamesOf(s lb.ZoneSnapshot) Names {
	out := Names{Listeners: map[Socket]string{}}
	for _, b := range s.LoadBalancers {
		for _, l := range b.Listeners {
			for _, vip := range []netip.Addr{b.IPv4, b.IPv6} {
				for _, p := range l.Protocol.Transports() {
					out.Listeners[Socket{netip.AddrPortFrom(vip, l.Port), p}] = l.ARN
				}
			}
		}
	}
	for _, g := range s.TargetGroups {
		out.Groups = append(out.Groups, g.ARN)
	}
	return out
}

// Explain tells the way stage by stage.
func (t Trace) Explain(names Names) []Line {
	lines := []Line{{"packet", t.packet()}}
	l, ok := t.listener()
	lines = append(lines, Line{"listener", t.describeListener(l, ok, names)})
	if ok {
		lines = append(lines, Line{"clients", t.describeClients(l)})
	}
	lines = append(lines, Line{"flow", t.describeFlow(ok)})
	lines = append(lines, t.describeChoice(names)...)
	lines = append(lines, t.describeTarget()...)
	if sent := t.describeFrame(); sent != "" {
		lines = append(lines, Line{"rewrite", sent})
	}
	return append(lines, Line{"verdict", t.Reason + ": " + meanings[t.Reason]})
}

func (t Trace) packet() string {
	kind, q := "datagram", t.query
	switch {
	case q.SYN:
		kind = fmt.Sprintf("SYN with sequence number %d", q.Sequence)
	case q.Protocol == lb.TCP:
		kind = "ACK"
	}
	return fmt.Sprintf("%s %s, %s to %s", q.Protocol, kind, q.From, q.To)
}

func (t Trace) listener() (edgeListener, bool) {
	key := edgeListenerKey{Vip: addrToMap(t.query.To.Addr()), Port: portToMap(t.query.To.Port()), Proto: protocolNumber(t.query.Protocol)}
	id, ok := t.have.keys[key]
	if !ok {
		return edgeListener{}, false
	}
	l, ok := t.have.listeners[indexOf(id)]
	return l, ok && l.Id == id
}

func (t Trace) describeListener(l edgeListener, ok bool, names Names) string {
	if !ok {
		if _, vip := t.have.vips[t.query.To.Addr()]; vip {
			return fmt.Sprintf("none: no %s listener at port %d of this load balancer address", t.query.Protocol, t.query.To.Port())
		}
		return "none: the destination is no load balancer address, so this may be a reply"
	}
	text := fmt.Sprintf("%s %s, idle timeout %d s, %s", t.query.Protocol, t.query.To, l.IdleSeconds, counted(int(l.Choices), "target group", "target groups"))
	if arn := names.Listeners[Socket{t.query.To, t.query.Protocol}]; arn != "" {
		text += ", " + arn
	}
	if l.Flags&listenerLocal != 0 {
		text += "; served in user space"
	}
	if l.Flags&listenerDeleted != 0 {
		text += "; deleted, and kept for the flows that it has"
	}
	return text
}

// counted is a number of things in words that agree with it.
func counted(n int, one, many string) string {
	switch n {
	case 0:
		return "no " + many
	case 1:
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func (t Trace) describeClients(l edgeListener) string {
	if l.Clients == clientsEveryone {
		return "everyone may open flows"
	}
	return "security groups: " + t.admission(l.Clients)
}

// admission says whether a set of clients has the packet's sender.
func (t Trace) admission(set uint64) string {
	var prefixes []netip.Prefix
	for c := range t.have.clients {
		if c.set != set {
			continue
		}
		prefixes = append(prefixes, c.prefix)
		if c.prefix.Contains(t.query.From.Addr()) {
			return fmt.Sprintf("%s is let in by %s", t.query.From.Addr(), c.prefix)
		}
	}
	switch len(prefixes) {
	case 0:
		return "nobody is let in"
	case 1:
		return fmt.Sprintf("%s alone is let in, %s is outside", prefixes[0], t.query.From.Addr())
	}
	return fmt.Sprintf("%s is in none of the %d prefixes that are let in", t.query.From.Addr(), len(prefixes))
}

func (t Trace) describeFlow(fromClient bool) string {
	a := t.walk.Advance
	switch {
	case t.walk.Wanted.Hash == 0:
		return "not looked for"
	case a.Step == stepDeliver && a.Flow.Target != 0 && t.walk.Made.State == 0:
		state := flowStates[edgeFlowState(a.Flow.State)]
		return fmt.Sprintf("%s, idle timeout %d s, client's %s", state, a.Flow.Link>>48, t.nextHop(macFromMap(a.Flow.Link)))
	case a.Step == stepOpen:
		return "none: the packet may open one"
	case a.Step == stepIdle:
		return "past its idle timeout"
	case a.Step == stepRefused:
		return "half open, and the packet does not prove that its sender got the target's answer"
	case a.Step == stepFull:
		return "proved, but its bucket is full of live flows"
	case fromClient:
		return "none, and the packet cannot open one"
	}
	if _, vip := t.have.vips[t.query.To.Addr()]; vip {
		return "none, and the port is no source port of one"
	}
	return "none that this would be a reply of"
}

// nextHop names a MAC, unless it is the own one, or the one that the traced packet
// has for want of a sender.
func (t Trace) nextHop(mac net.HardwareAddr) string {
	if macToMap([6]byte(mac)) == t.settings.Mac {
		return "next hop this machine"
	}
	if mac.String() == probeMAC.String() {
		return "next hop as the packet came"
	}
	return "next hop " + mac.String()
}

func (t Trace) describeChoice(names Names) []Line {
	c := t.walk.Chosen
	if c.Slot == 0 {
		return nil
	}
	g := t.have.groups[c.Group]
	text := []string{fmt.Sprintf("slot %d of %d in group %d", c.Slot, g.Slots, c.Group)}
	for _, arn := range names.Groups {
		if digest("group", arn) == g.Digest {
			text = append(text, ", "+arn)
		}
	}
	if c.Flags&groupSticky != 0 {
		text = append(text, "; sticky by source address")
	}
	if c.Flags&groupFailOpen != 0 {
		text = append(text, "; failing open")
	}
	return []Line{{"hash", strings.Join(text, "")}}
}

func (t Trace) describeTarget() []Line {
	id := t.walk.Advance.Flow.Target
	if t.walk.Chosen.Target != 0 {
		id = t.walk.Chosen.Target
	}
	if id == 0 {
		return nil
	}
	target, ok := t.have.targets[indexOf(id)]
	if !ok || target.Id != id {
		return []Line{{"target", "gone"}}
	}
	at := netip.AddrPortFrom(addrFromMap(target.Addr), portFromMap(target.Port))
	text := fmt.Sprintf("%s, %s", at, t.nextHop(macFromMap(target.Mac)))
	if target.Flags&targetTerminate != 0 {
		text += "; its connections are terminated"
	}
	lines := []Line{{"target", text}}
	set, barred := target.ClientsTcp, target.Flags&targetNoTCP != 0
	if t.query.Protocol == lb.UDP {
		set, barred = target.ClientsUdp, target.Flags&targetNoUDP != 0
	}
	switch {
	case t.walk.Chosen.Target == 0: // its flow exists: rules are not asked
	case barred:
		lines = append(lines, Line{"rules", "the load balancer's outbound rules keep new flows from it"})
	case set != clientsEveryone:
		lines = append(lines, Line{"rules", "the target's security groups: " + t.admission(set)})
	}
	return append(lines, t.describeNAT()...)
}

func (t Trace) describeNAT() []Line {
	why := "client IP preservation is off"
	switch {
	case t.events["hairpin"] > 0:
		why = "client and target are one instance"
	case t.events["tuple_conflict"] > 0:
		why = "the target has a flow of this client address and port already"
	case t.walk.Advance.Flow.Nat == 0:
		return nil
	case t.walk.Made.State == 0:
		why = "so since the flow began"
	}
	return []Line{{"source", fmt.Sprintf("the load balancer's address, port %d: %s", portFromMap(t.walk.Advance.Flow.Nat), why)}}
}

// describeFrame is what leaves the edge.
func (t Trace) describeFrame() string {
	if !strings.HasPrefix(t.Reason, "sent_") && !strings.HasPrefix(t.Reason, "reset_") || len(t.frame) < 38 {
		return ""
	}
	from, to, l4 := netip.Addr{}, netip.Addr{}, 34
	if t.frame[12] == 0x08 {
		from, to = netip.AddrFrom4([4]byte(t.frame[26:])), netip.AddrFrom4([4]byte(t.frame[30:]))
	} else if l4 = 54; len(t.frame) >= 58 {
		from, to = netip.AddrFrom16([16]byte(t.frame[22:])), netip.AddrFrom16([16]byte(t.frame[38:]))
	}
	port := func(at int) uint16 { return binary.BigEndian.Uint16(t.frame[at:]) }
	what := ""
	if strings.HasPrefix(t.Reason, "reset_") {
		what = "TCP reset, "
	}
	return fmt.Sprintf("%s%s to %s, %s", what, netip.AddrPortFrom(from, port(l4)), netip.AddrPortFrom(to, port(l4+2)), t.nextHop(t.frame[:6]))
}

// meanings of reasons, for those that a packet with TCP or UDP can have.
var meanings = map[string]string{
	"pass_settings":          "the kernel's: the program is not set up",
	"pass_no_flow":           "the kernel's: neither for a load balancer address nor a reply of a flow",
	"pass_local":             "the kernel's: a listener in user space takes it",
	"sent_to_target":         "goes to its target",
	"sent_to_client":         "goes back to its client",
	"reset_unknown":          "answered by a reset: TCP of no flow",
	"reset_half_open":        "answered by a reset: the client has not proved that it is there",
	"reset_idle":             "answered by a reset: first packet after the idle timeout",
	"reset_terminated":       "answered by a reset: the flow's target is terminated or gone",
	"reset_no_target":        "answered by a reset: no target can take new flows",
	"reset_table_full":       "answered by a reset: the flow table has no room for it",
	"reset_no_port":          "answered by a reset: no source port is left",
	"drop_malformed":         "dropped: header fields contradict each other",
	"drop_martian":           "dropped: no client has such a source address",
	"drop_no_listener":       "dropped: the load balancer address has no such listener, and no flow",
	"drop_flags":             "dropped: no such combination of TCP flags",
	"drop_rate":              "dropped: a reset was due, but too many were sent",
	"drop_no_target":         "dropped: no target can take new flows",
	"drop_terminated":        "dropped: the flow's target is terminated or gone",
	"drop_table_full":        "dropped: the flow table has no room for it",
	"drop_no_port":           "dropped: no source port is left",
	"drop_error":             "dropped: the frame could not be edited",
	"drop_inbound_rules":     "dropped: the load balancer's inbound rules do not let the client in",
	"drop_outbound_rules":    "dropped: the load balancer's outbound rules keep it from the target",
	"drop_target_rules":      "dropped: the target's security groups do not let the client in",
	"drop_restoring":         "dropped: of no flow, but flows of an earlier version are still being copied; the sender tries again",
	"drop_unresolved":        "dropped: no next hop of the group's targets is known yet; the client tries again",
	"drop_no_listener_reply": "dropped: a reply of a flow whose listener is gone",
}
