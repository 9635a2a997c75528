package loop

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// relay is a Server whose connections all go to one target.
type relay struct {
	to   netip.AddrPort
	ends chan End
}

func (r *relay) Accept(Client) Session { return &toTarget{relay: r} }

type toTarget struct{ *relay }

func (s *toTarget) Dial(failed error) (Dialing, bool) { return Dialing{Target: s.to}, failed == nil }
func (s *toTarget) Connected() (Greeting, bool)       { return Greeting{}, true }
func (s *toTarget) Received(int)                      {}
func (s *toTarget) IdleTimeout() time.Duration        { return time.Hour }
func (s *toTarget) Ended(e End)                       { s.ends <- e }

// world is loops that relay from an address to a target.
type world struct {
	*testing.T
	group    *Group
	listener *Listener
	server   *relay
	at       netip.AddrPort
	target   *net.TCPListener
}

func start(t *testing.T) *world {
	t.Helper()
	target := listen(t)
	w := &world{
		T: t, group: New(Options{Log: slog.New(slog.DiscardHandler), ConnectTimeout: time.Minute}), target: target,
		server: &relay{to: target.Addr().(*net.TCPAddr).AddrPort(), ends: make(chan End, 1000)},
	}
	front := listen(t)
	w.at = front.Addr().(*net.TCPAddr).AddrPort()
	f, err := front.File()
	if err != nil {
		t.Fatal(err)
	}
	_ = front.Close()
	fd := int(f.Fd())
	if err := unix.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	if w.listener, err = w.group.Listen(fd, w.server); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		w.listener.Close()
		_ = f.Close()
		w.group.Stop()
	})
	return w
}

func listen(t *testing.T) *net.TCPListener {
	t.Helper()
	ln, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	return ln
}

// connect returns both ends of a connection through the loops.
func (w *world) connect() (front, back *net.TCPConn) {
	w.Helper()
	front, err := net.DialTCP("tcp4", nil, net.TCPAddrFromAddrPort(w.at))
	if err != nil {
		w.Fatal(err)
	}
	back, err = w.target.AcceptTCP()
	if err != nil {
		w.Fatal(err)
	}
	deadline := time.Now().Add(time.Minute)
	if err := errors.Join(front.SetDeadline(deadline), back.SetDeadline(deadline)); err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { _, _ = front.Close(), back.Close() })
	return front, back
}

// passes says much at one end and checks it at the other.
func (w *world) passes(from, to *net.TCPConn, size int) {
	w.Helper()
	want := bytes.Repeat([]byte("0123456789abcdef!"), size/17)
	var sending sync.WaitGroup
	sending.Go(func() { _, _ = from.Write(want); _ = from.CloseWrite() })
	got, err := io.ReadAll(to)
	sending.Wait()
	if err != nil || !bytes.Equal(got, want) {
		w.Errorf("got %d bytes, %v; want the %d that were sent", len(got), err, len(want))
	}
}

func TestBytesPassSplicedOrCopied(t *testing.T) {
	for name, room := range map[string]int{"spliced": maxPipes, "copied": 0} {
		t.Run(name, func(t *testing.T) {
			w := start(t)
			w.group.each(func(l *loop) { l.pipes.room = room })
			front, back := w.connect()
			w.passes(front, back, 8<<20)
			w.passes(back, front, 8<<20)
			if e := <-w.server.ends; e.Why != Finished || e.There.Bytes != e.Back.Bytes || e.There.Bytes < 8<<20-17 {
				t.Errorf("ended with %+v", e)
			}
			w.group.each(func(l *loop) {
				if made := room - l.pipes.room - len(l.pipes.free); made != 0 {
					t.Errorf("%d pipes are not given back", made)
				}
			})
		})
	}
}

// What comes behind urgent data is not taken for the end.
func TestUrgentDataHidesNothing(t *testing.T) {
	w := start(t)
	front, back := w.connect()
	raw, err := front.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	send := sync.OnceFunc(func() {
		_, _ = front.Write([]byte("before"))
		_ = raw.Control(func(fd uintptr) { _ = unix.Sendto(int(fd), []byte("!"), unix.MSG_OOB, nil) })
		_, _ = front.Write([]byte("behind"))
		_ = front.CloseWrite()
	})
	w.group.each(func(l *loop) {
		if len(l.conns[w.server]) > 0 { // it does not look meanwhile
			send()
		}
	})
	if got, err := io.ReadAll(back); string(got) != "beforebehind" || err != nil {
		t.Errorf("got %q, %v; want all that is not urgent", got, err)
	}
}

// descriptors is how many this process has.
func descriptors(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

func TestNoDescriptorIsLeftOfConnections(t *testing.T) {
	w := start(t)
	w.group.each(func(l *loop) { // pipes stay
		one, _ := l.pipes.get()
		l.pipes.put(one, true)
		l.pipes.room = 0
	})
	before := descriptors(t)
	for i := range 50 {
		front, back := w.connect()
		switch i % 4 {
		case 0: // in order
			_, _ = front.CloseWrite(), back.CloseWrite()
		case 1: // in the midst of bytes
			_ = front.SetWriteDeadline(time.Now().Add(time.Millisecond))
			_, _ = front.Write(make([]byte, 16<<20))
			_ = front.SetLinger(0)
			_ = front.Close()
		case 2: // with a reset
			_ = back.SetLinger(0)
			_ = back.Close()
		case 3: // by the server
			w.group.End(w.server, func(Session) bool { return true })
		}
		<-w.server.ends
		_, _ = front.Close(), back.Close()
		w.group.each(func(l *loop) {
			if len(l.pipes.free) == 0 { // one with bytes in it was closed
				l.pipes.room = 1
				one, _ := l.pipes.get()
				l.pipes.put(one, true)
				l.pipes.room = 0
			}
		})
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
	w.group.each(func(l *loop) {
		if len(l.conns) > 0 {
			t.Errorf("connections are left: %v", l.conns)
		}
	})
}

func TestStopEndsConnections(t *testing.T) {
	w := start(t)
	front, back := w.connect()
	w.group.Stop()
	for _, c := range []net.Conn{front, back} {
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("read: %v, want the end", err)
		}
	}
	if e := <-w.server.ends; e.Why != Stopped {
		t.Errorf("ended with %+v", e)
	}
}

// A connection that has much to do does not keep others waiting for ever, and a
// reader that is slow costs one pipe.
func TestASlowReaderHoldsOnePipe(t *testing.T) {
	w := start(t)
	front, back := w.connect()
	_ = front.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	sent, err := front.Write(make([]byte, 64<<20))
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("64 MiB were taken without a reader: %v", err)
	}
	var held, conns int
	w.group.each(func(l *loop) {
		for c := range l.conns[w.server] {
			conns++
			if held += len(c.held[client].bytes) + c.state.streams[client].held; held > pipeSize+bufferSize {
				t.Errorf("a connection holds %d bytes", held)
			}
		}
	})
	_ = front.CloseWrite()
	got, err := io.Copy(io.Discard, back)
	if got != int64(sent) || err != nil || conns != 1 {
		t.Errorf("got %d bytes of %d, %v, on %d connections", got, sent, err, conns)
	}
}
