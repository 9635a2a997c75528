package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fairlead-lb/fairlead/internal/lab/component"
	"github.com/fairlead-lb/fairlead/internal/lab/layout"
	"github.com/fairlead-lb/fairlead/internal/lab/supervisor"
	"github.com/fairlead-lb/fairlead/internal/netlab"
)

// upTimeout is how long a lab may take to come up, on a slow and busy machine.
const upTimeout = 4 * time.Minute

// host is a running lab from the inside: the process that Up leaves behind.
type host struct {
	dir    component.Dir
	log    *slog.Logger
	sup    *supervisor.Supervisor
	events *json.Encoder
	cancel context.CancelFunc

	listeners []net.Listener
	wg        sync.WaitGroup // of what serves the listeners

	changing sync.Mutex // held while nodes come or go
	mu       sync.Mutex
	state    state // replaced as a whole, and on disk before
}

// Supervise brings up the lab whose state Up has written, tells events about
// it, keeps it running until ctx ends, and then kills its processes.
// Namespaces and files stay for Down.
func Supervise(ctx context.Context, stateDir string, events io.Writer) error {
	dir := component.Dir(stateDir)
	s, err := loadState(dir)
	if err != nil {
		return err
	}
	out, err := supervisor.OpenLog(dir.Log(supervisorLog))
	if err != nil {
		return err
	}
	defer out.Close()
	log := slog.New(slog.NewTextHandler(out, nil))
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	h := &host{dir: dir, log: log, state: s, events: json.NewEncoder(events), cancel: cancel, sup: supervisor.New(dir, log)}
	defer h.close()
	if err := h.up(ctx); err != nil {
		h.fail(err)
		return err
	}
	if err := h.tell(event{Kind: up}); err != nil {
		return err
	}
	log.Info("the lab is up")
	<-ctx.Done()
	return nil
}

func (h *host) close() {
	for _, l := range h.listeners {
		l.Close()
	}
	h.cancel()
	h.sup.Stop()
	h.wg.Wait()
}

// tell sends an event. Once nobody listens any more, nobody waits for the lab.
func (h *host) tell(e event) error {
	if err := h.events.Encode(e); err != nil {
		return fmt.Errorf("the process that started the lab has gone: %w", err)
	}
	return nil
}

func (h *host) fail(err error) {
	e := event{Kind: failed, Error: err.Error()}
	if f, ok := errors.AsType[*supervisor.FailedError](err); ok {
		e.Component = f.Name
	}
	_ = h.tell(e) // its receiver may have gone, which then is why
}

// step tells about f.
func (h *host) step(name string, f func() error) error {
	if err := h.tell(event{Kind: begin, Step: name}); err != nil {
		return err
	}
	if err := f(); err != nil {
		return err
	}
	return h.tell(event{Kind: end, Step: name})
}

func (h *host) up(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, upTimeout)
	defer cancel()
	me, err := thisProcess()
	if err != nil {
		return err
	}
	if err := h.change(func(s *state) { s.Supervisor = me }); err != nil {
		return err
	}
	cfg, err := h.state.config(h.dir)
	if err != nil {
		return err
	}
	p := preparer{h.dir, h.state, cfg.Layout, time.Now()}
	for _, s := range []struct {
		name string
		f    func() error
	}{
		{"listen on loopback", h.listen},
		{"build the network", func() error { return h.network(cfg.Layout) }},
		{"issue certificates and write configuration", p.all},
	} {
		if err := h.step(s.name, s.f); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	all := component.All(cfg)
	h.sup.Add(all...)
	if err := h.follow(ctx, names(all)); err != nil {
		return err
	}
	if slices.Contains(cfg.Without, component.NodeAgent) {
		return nil
	}
	return h.step("wait for nodes to be Ready", func() error { return h.nodesReady(ctx, cfg.Layout.Nodes) })
}

func names(components []component.Component) []string {
	all := make([]string, len(components))
	for i, c := range components {
		all[i] = c.Name
	}
	return all
}

// change writes the state down and then takes it over.
func (h *host) change(f func(*state)) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	next := h.state
	next.Nodes = slices.Clone(next.Nodes)
	f(&next)
	if err := next.save(h.dir); err != nil {
		return err
	}
	h.state = next
	return nil
}

func (h *host) current() state {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.state
}

func (h *host) network(l layout.Layout) error {
	if err := os.MkdirAll(h.dir.BPF(), 0o700); err != nil {
		return err
	}
	if err := unix.Mount("bpf", h.dir.BPF(), "bpf", 0, "mode=0700"); err != nil {
		return fmt.Errorf("mount a BPF file system: %w", err)
	}
	return netlab.Apply(l.Network())
}

// follow tells about components as they begin and come to serve.
func (h *host) follow(ctx context.Context, all []string) error {
	waiting := make(chan error, 1)
	go func() { waiting <- h.sup.WaitServing(ctx, all...) }()
	begun, ended := map[string]bool{}, map[string]bool{}
	for {
		changed := h.sup.Changed()
		if err := h.tellChanges(begun, ended); err != nil {
			return err
		}
		select {
		case err := <-waiting:
			return errors.Join(err, h.tellChanges(begun, ended))
		case <-changed:
		}
	}
}

func (h *host) tellChanges(begun, ended map[string]bool) error {
	for _, s := range h.sup.Status() {
		if s.Phase != supervisor.Waiting && !begun[s.Name] {
			begun[s.Name] = true
			if err := h.tell(event{Kind: begin, Step: s.Name}); err != nil {
				return err
			}
		}
		if s.Serving() && !ended[s.Name] {
			ended[s.Name] = true
			if err := h.tell(event{Kind: end, Step: s.Name}); err != nil {
				return err
			}
		}
	}
	return nil
}
