package proxy_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/fairlead-lb/fairlead/internal/proxy"
)

// offer offers a server's sockets and returns how that ends.
func offer(t *testing.T, s *proxy.Server, path string) <-chan error {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	done := make(chan struct{})
	go func() { ended <- s.OfferSockets(ctx, path, nil); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	eventually(t, "the sockets are offered", func() bool { _, err := os.Stat(path); return err == nil })
	return ended
}

func take(t *testing.T, path string) *proxy.Inheritance {
	t.Helper()
	in, err := proxy.TakeSockets(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func TestASuccessorTakesTheSocketsAndConnectionsFinish(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sockets")
	at := serve(t, echo)
	old := start(t, proxy.Options{}) // without a successor it would not let connections finish
	kept, dropped := tcpListener(t, target("a", at)), tcpListener(t, target("a", at))
	old.apply(kept, dropped)
	handed := offer(t, old.server, path)
	before := dial(t, kept.Address)
	say(t, before, "x")

	refused := make(chan error, 1) // a client that connects all the time
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		var errs []error
		for ctx.Err() == nil {
			c, err := net.Dial("tcp", kept.Address.String())
			if err == nil {
				err = c.Close()
			}
			errs = append(errs, err)
		}
		refused <- errors.Join(errs...)
	}()

	fresh := start(t, proxy.Options{Inherited: take(t, path)})
	fresh.apply(kept)
	if err := <-handed; err != nil {
		t.Fatalf("OfferSockets: %v", err)
	}
	go old.stop()
	say(t, before, "still here")
	after := dial(t, kept.Address)
	say(t, after, "served by the successor")
	cancel()
	if err := <-refused; err != nil {
		t.Errorf("a client was refused meanwhile: %v", err)
	}
	if got := fresh.server.State(); len(got) != 1 || got[0].Connections == 0 {
		t.Errorf("the successor's state is %+v, want one listener with connections", got)
	}
	if c, err := net.Dial("tcp", dropped.Address.String()); err == nil {
		_ = c.Close()
		t.Error("somebody still listens for a listener that the successor does not have")
	}
	_ = before.Close()
	old.stop()
}

func TestASuccessorThatDiesChangesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sockets")
	w := start(t, proxy.Options{})
	l := tcpListener(t, target("a", serve(t, echo)))
	w.apply(l)
	handed := offer(t, w.server, path)
	c, err := net.Dial("unixpacket", path)
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	say(t, dial(t, l.Address), "served as before")
	fresh := start(t, proxy.Options{Inherited: take(t, path)})
	fresh.apply(l)
	if err := <-handed; err != nil {
		t.Errorf("OfferSockets: %v, want success with the second successor", err)
	}
	say(t, dial(t, l.Address), "x")
}

func TestAPredecessorLetsGoBeforeItsSuccessorGoesOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sockets")
	at := serve(t, echo)
	old := start(t, proxy.Options{})
	l := tcpListener(t, target("a", at))
	old.apply(l)
	var let atomic.Bool
	handed := make(chan error, 1)
	go func() {
		handed <- old.server.OfferSockets(context.Background(), path, func() { old.stopSoon(); let.Store(true) })
	}()
	eventually(t, "the sockets are offered", func() bool { _, err := os.Stat(path); return err == nil })
	before := dial(t, l.Address)
	say(t, before, "x")
	in := take(t, path)
	if err := in.Release(); err != nil || !let.Load() {
		t.Fatalf("Release: %v; the predecessor has let go: %v", err, let.Load())
	}
	waiting := dial(t, l.Address) // nobody accepts, nobody refuses
	if _, err := io.WriteString(waiting, "early"); err != nil {
		t.Fatal(err)
	}
	fresh := start(t, proxy.Options{Inherited: in})
	fresh.apply(l)
	if got, err := io.ReadAll(io.LimitReader(waiting, 5)); string(got) != "early" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	say(t, before, "still here")
	if err := <-handed; err != nil {
		t.Errorf("OfferSockets: %v", err)
	}
	old.server.CloseConnections()
	_ = closed(t, before)
	old.stop()
}

func TestThereNeedNotBeAPredecessor(t *testing.T) {
	dir := t.TempDir()
	stale := filepath.Join(dir, "stale")
	ln, err := net.ListenUnix("unixpacket", &net.UnixAddr{Net: "unixpacket", Name: stale})
	if err != nil {
		t.Fatal(err)
	}
	ln.SetUnlinkOnClose(false)
	_ = ln.Close()
	for _, path := range []string{filepath.Join(dir, "nothing"), stale} {
		w := start(t, proxy.Options{Inherited: take(t, path)})
		l := tcpListener(t, target("a", serve(t, echo)))
		w.apply(l)
		say(t, dial(t, l.Address), "x")
	}
}

func TestOnlyThisUserReachesTheOfferedSockets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sockets")
	w := start(t, proxy.Options{})
	offer(t, w.server, path)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
	}
}

func TestAnOddPredecessorIsAnError(t *testing.T) {
	for name, packets := range map[string][]string{
		"no address": {"not an address"}, "no socket": {"127.0.0.1:80"}, "no end": {},
	} {
		path := filepath.Join(t.TempDir(), "sockets")
		ln, err := net.ListenUnix("unixpacket", &net.UnixAddr{Net: "unixpacket", Name: path})
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			for _, p := range packets {
				_, _ = c.Write([]byte(p))
			}
			_ = c.Close()
		}()
		if _, err := proxy.TakeSockets(context.Background(), path); err == nil {
			t.Errorf("%s: no error", name)
		}
		_ = ln.Close()
	}
}
