package datapath

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// The program bpf/egress.bpf.c sees what this machine sends out of the uplink. It
// is what makes the machine a target and a client of its own load balancers.

const egressPin = "egress"

// newEgress loads it on the maps of the other programs.
func newEgress(objs *edgeObjects, edit func(*ebpf.CollectionSpec) error) (*ebpf.Program, error) {
	spec, err := loadEgress()
	if err != nil {
		return nil, fmt.Errorf("read the egress program: %w", err)
	}
	if edit != nil {
		if err := edit(spec); err != nil {
			return nil, err
		}
	}
	shared := objs.byName()
	spec.Maps[edgeMapFlows].MaxEntries = objs.Flows.MaxEntries()
	spec.Maps[edgeMapHalfOpen].MaxEntries = objs.HalfOpen.MaxEntries()
	spec.Maps[edgeMapHomes].MaxEntries = objs.Homes.MaxEntries()
	var own struct {
		Egress *ebpf.Program `ebpf:"egress"`
	}
	err = spec.LoadAndAssign(&own, &ebpf.CollectionOptions{MapReplacements: shared})
	if verifier, ok := errors.AsType[*ebpf.VerifierError](err); ok {
		return nil, fmt.Errorf("load the egress program: %+v", verifier) //nolint:errorlint // %w would print the last lines alone
	}
	if err != nil {
		return nil, fmt.Errorf("load the egress program: %w", err)
	}
	return own.Egress, nil
}

// byName are the maps that both hooks work on.
func (m *edgeMaps) byName() map[string]*ebpf.Map {
	return map[string]*ebpf.Map{
		edgeMapBalancerCounters: m.BalancerCounters, edgeMapClients: m.Clients, edgeMapDatagrams: m.Datagrams, edgeMapEvents: m.Events,
		edgeMapFlows: m.Flows, edgeMapGroups: m.Groups, edgeMapHalfOpen: m.HalfOpen, edgeMapHomes: m.Homes, edgeMapLimiters: m.Limiters,
		edgeMapListenerHints: m.ListenerHints, edgeMapListenerIds: m.ListenerIds, edgeMapListeners: m.Listeners, edgeMapLocks: m.Locks,
		edgeMapPrefixes: m.Prefixes, edgeMapReasons: m.Reasons, edgeMapSettings: m.Settings, edgeMapTables: m.Tables,
		edgeMapTargets: m.Targets, edgeMapVips: m.Vips, edgeMapWalks: m.Walks,
	}
}

// egressHook ties the program to the uplink.
type egressHook struct {
	pinnedLink
	dev int // the uplink's index
}

// attach adopts the pinned link, swapping the program in one step, or makes one.
// It acts in the network namespace of the calling thread. The program is the last
// one, so that it sees what others have made of a packet.
func (e *egressHook) attach() error {
	if e.adopt(e.dev) == nil {
		return nil
	}
	e.drop()
	l, err := link.AttachTCX(link.TCXOptions{Interface: e.dev, Program: e.prog, Attach: ebpf.AttachTCXEgress, Anchor: link.Tail()})
	if errors.Is(err, ebpf.ErrNotSupported) {
		return fmt.Errorf("attach the egress program to the uplink: the kernel has no tcx, which came with Linux 6.6: %w", err)
	}
	if err != nil {
		return fmt.Errorf("attach the egress program to the uplink: %w", err)
	}
	return e.keep(l)
}

// close lets go of the program, which is the hook's own.
func (e *egressHook) close() error {
	err := e.pinnedLink.close()
	if e.prog != nil {
		err = errors.Join(err, e.prog.Close())
	}
	return err
}

func pinPath(pinDir, name string) string {
	if pinDir == "" {
		return ""
	}
	return filepath.Join(pinDir, name)
}

// attach puts the programs on the uplink, or swaps those that are there.
func (d *Datapath) attach() error {
	prog, err := newEgress(d.objs, nil)
	if err != nil {
		return err
	}
	d.out = egressHook{pinnedLink: pinnedLink{pin: pinPath(d.cfg.PinDir, egressPin), prog: prog}, dev: d.link}
	d.at = attachment{pinnedLink: pinnedLink{pin: pinPath(d.cfg.PinDir, linkPin), prog: d.objs.Edge}, name: d.cfg.Interface, want: d.cfg.Mode}
	return errors.Join(d.out.attach(), d.at.attach())
}
