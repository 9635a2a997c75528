package datapath

import (
	"net/netip"

	"github.com/fairlead-lb/fairlead/internal/datapath/model"
)

// local adds a listener that is served in user space.
func (w *world) local(id uint32, at string) {
	w.listener(id, at, ipProtoTCP, 350)
	w.makeLocal(id)
}

// makeLocal moves a listener to user space.
func (w *world) makeLocal(id uint32) {
	entry, l := w.contents.listeners[indexOf(id)], w.model.Listeners[id]
	entry.Flags, l.Local = listenerLocal, true
	w.contents.listeners[indexOf(id)], w.model.Listeners[id] = entry, l
	v := w.contents.vips[l.VIP.Addr()]
	v.Flags = vipLocal
	w.contents.vips[l.VIP.Addr()] = v
	w.model.Local[l.VIP.Addr()] = true
}

// proxied adds an address with listeners of both kinds.
func (w *world) proxied() {
	w.vip(netip.MustParseAddr("198.18.0.102"), 2)
	w.vip(netip.MustParseAddr("2001:db8::102"), 2)
	w.local(makeID(1, 30), "198.18.0.102:443")
	w.local(makeID(1, 31), "[2001:db8::102]:443")
	w.local(makeID(1, 32), "198.18.0.102:444")
	w.guard(makeID(1, 32), clientsNobody)
}

// moved is the world once one of its listeners is served in user space.
func (w *world) moved() *world {
	w.makeLocal(makeID(1, 0))
	return w
}

// localVerdicts are the rows of the verdict table about user space.
func localVerdicts() map[string]outcome {
	const vip4, vip6, shut = "198.18.0.102:443", "[2001:db8::102]:443", "198.18.0.102:444"
	established := handshake(client4, vipTCP4, targetA4)
	return map[string]outcome{
		"SYN to a listener in user space":           {frame: tcp(client4, vip4, fSYN, 1, 0, 0), want: model.Pass, moved: "pass_local"},
		"SYN to a listener in user space over IPv6": {frame: tcp(client6, vip6, fSYN, 1, 0, 0), want: model.Pass, moved: "pass_local"},
		"data to a listener in user space":          {frame: tcp(client4, vip4, fACK, 1, 1, 5), want: model.Pass, moved: "pass_local"},
		"RST to a listener in user space":           {frame: tcp(client4, vip4, fRST, 1, 0, 0), want: model.Pass, moved: "pass_local"},
		"SYN that inbound rules keep from it":       {frame: tcp(client4, shut, fSYN, 1, 0, 0), want: model.Drop, moved: "drop_inbound_rules SecurityGroupBlockedFlowCountInboundTCP"},
		"connection from before the rules":          {frame: tcp(client4, shut, fACK, 1, 1, 5), want: model.Pass, moved: "pass_local"},
		"UDP to a listener in user space":           {frame: udp(client4, vip4, 1), want: model.Drop, moved: "drop_no_listener"},
		"fragment to a listener in user space":      {frame: refill(edited(tcp(client4, vip4, fACK, 1, 0, 0), func(f []byte) { f[20] = 0x20 })), want: model.Drop, moved: "drop_fragment"},

		"SYN-ACK to a connection from the VIP":           {frame: tcp(targetA4, "198.18.0.102:40000", fSYN|fACK, 1, 1, 0), want: model.Pass, moved: "pass_local"},
		"refusal of a connection from the VIP":           {frame: tcp(targetA6, "[2001:db8::102]:32768", fRST|fACK, 1, 1, 0), want: model.Pass, moved: "pass_local"},
		"SYN to a port of the kernel's":                  {frame: tcp(client4, "198.18.0.102:40000", fSYN, 1, 0, 0), want: model.Drop, moved: "drop_no_listener"},
		"reply to a port of source NAT":                  {frame: tcp(targetA4, "198.18.0.102:32767", fACK, 1, 1, 0), want: model.Drop, moved: "drop_no_listener"},
		"datagram to a port of the kernel's":             {frame: udp(targetA4, "198.18.0.102:40000", 1), want: model.Drop, moved: "drop_no_listener"},
		"reply to a VIP without listeners in user space": {frame: tcp(targetA4, "198.18.0.100:40000", fACK, 1, 1, 0), want: model.Drop, moved: "drop_no_listener"},

		"path MTU of a listener in user space":    {frame: icmp4(3, 4, "10.1.1.1", "198.18.0.102", tcp(vip4, client4, fACK, 501, 101, 900)[14:50]), want: model.Pass, moved: "pass_local"},
		"path MTU of a connection from the VIP":   {frame: icmp4(3, 4, "10.1.1.1", "198.18.0.102", tcp("198.18.0.102:40000", targetA4, fACK, 501, 101, 900)[14:50]), want: model.Pass, moved: "pass_local"},
		"path MTU of what nobody sent":            {frame: icmp4(3, 4, "10.1.1.1", "198.18.0.102", tcp("198.18.0.102:2000", targetA4, fACK, 501, 101, 900)[14:50]), want: model.Drop, moved: "drop_icmp_flow"},
		"data of a flow whose listener moved":     {local: true, before: established, frame: tcp(client4, vipTCP4, fACK, 101, 501, 10), want: model.TX, moved: "sent_to_target ProcessedPackets ProcessedBytesTCP=50"},
		"its target's answer":                     {local: true, before: established, frame: tcp(targetA4, client4, fACK, 501, 101, 10), want: model.TX, moved: "sent_to_client ProcessedPackets ProcessedBytesTCP=50"},
		"path MTU of a flow whose listener moved": {local: true, before: established, frame: icmp4(3, 4, "10.1.1.1", "198.18.0.100", tcp(vipTCP4, client4, fACK, 501, 101, 900)[14:50]), want: model.TX, moved: "sent_icmp"},
		"new flow once the listener moved":        {local: true, before: established, frame: tcp("203.0.113.10:9", vipTCP4, fSYN, 1, 0, 0), want: model.Pass, moved: "pass_local"},
	}
}
