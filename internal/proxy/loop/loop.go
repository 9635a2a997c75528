package loop

import (
	"cmp"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Options are what a Group is made of.
type Options struct {
	Log *slog.Logger
	// ConnectTimeout is how long a target has to answer.
	ConnectTimeout time.Duration
	// Loops is how many there are. Default: one for each processor that Go uses.
	Loops int
}

// maxPipes is how many pipes may have bytes in them at a time.
const maxPipes = 256

// yieldEvery is how long a loop keeps its processor: half of what Go's scheduler
// lets it.
const yieldEvery = 5 * time.Millisecond

// Group is loops that share the work: a connection stays with the loop that
// accepted it.
type Group struct {
	opts  Options
	ended sync.WaitGroup

	mu    sync.Mutex // held to start
	loops []*loop    // nil before the first Listen
}

// New returns a Group whose loops start with the first Listen.
func New(opts Options) *Group { return &Group{opts: opts} }

// started returns the loops, which it starts.
func (g *Group) started() ([]*loop, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.loops != nil {
		return g.loops, nil
	}
	var loops []*loop
	n := cmp.Or(g.opts.Loops, runtime.GOMAXPROCS(0))
	for range n {
		l, err := newLoop(g.opts, max(maxPipes/n, 1))
		if err != nil {
			for _, l := range loops {
				l.release()
			}
			return nil, fmt.Errorf("make an event loop: %w", err)
		}
		loops = append(loops, l)
	}
	for _, l := range loops {
		g.ended.Go(l.run)
	}
	g.loops = loops
	return loops, nil
}

// each has each loop call f, one after the other.
func (g *Group) each(f func(*loop)) {
	g.mu.Lock()
	loops := g.loops
	g.mu.Unlock()
	for _, l := range loops {
		l.do(func() { f(l) })
	}
}

// End closes the connections of a server for which f, called in their loops, is
// true. They are told Terminated.
func (g *Group) End(s Server, f func(Session) bool) {
	g.each(func(l *loop) {
		for c := range l.conns[s] {
			if f(c.session) {
				c.end(Terminated, inOrder)
			}
		}
	})
}

// Stop ends the loops, and connections that are still there in order.
func (g *Group) Stop() {
	g.each((*loop).stop)
	g.ended.Wait()
}

// loop serves its connections, in one goroutine.
type loop struct {
	opts    Options
	poller  *poller
	wheel   *wheel
	start   time.Time
	now     time.Duration // since start, as of the last events
	yielded time.Duration // the same, of the last yield

	conns     map[Server]map[*conn]struct{} // of servers that have some
	accepting map[*Listener]*accepting
	ready     []*conn // which can go on without an event
	spare     []*conn // the room for the next ready
	pipes     pipes
	buffer    [bufferSize]byte // of whatever is read and written at once
	ended     bool

	mu       sync.Mutex
	commands []func()
	closed   bool // takes no more commands
}

func newLoop(opts Options, pipeCount int) (*loop, error) {
	p, err := newPoller()
	if err != nil {
		return nil, err
	}
	return &loop{
		opts: opts, poller: p, wheel: newWheel(), start: time.Now(),
		conns: map[Server]map[*conn]struct{}{}, accepting: map[*Listener]*accepting{}, pipes: pipes{room: pipeCount},
	}, nil
}

// do has the loop call f and returns when it has. It must not be called from the
// loop, nor with a lock that f's callees take.
func (l *loop) do(f func()) {
	done := make(chan struct{})
	if l.command(func() { f(); close(done) }) {
		<-done
	}
}

// command returns false when the loop has ended. The bell is rung under the
// lock: not after it has been closed.
func (l *loop) command(f func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.commands = append(l.commands, f)
	l.poller.wake()
	return true
}

// run is the loop.
func (l *loop) run() {
	for !l.ended {
		events, err := l.poller.wait(l.patience())
		if err != nil {
			// The kernel refuses a descriptor that this loop made itself.
			panic(fmt.Errorf("wait for events: %w", err))
		}
		l.now = time.Since(l.start)
		for _, e := range events {
			l.poller.dispatch(e)
		}
		l.goOn()
		l.wheel.advance(l.now)
		l.obey()
		l.yield()
	}
	l.release()
}

// yield goes through Go's scheduler. A goroutine that has not for 10 ms loses its
// processor whenever the runtime's monitor finds it in a system call, where a loop
// nearly always is, and the monitor looks again 20 µs after each time.
func (l *loop) yield() {
	if l.now-l.yielded >= yieldEvery {
		l.yielded = l.now
		runtime.Gosched()
	}
}

// patience is how long the loop may wait for events; negative: for ever.
func (l *loop) patience() time.Duration {
	if len(l.ready) > 0 {
		return 0
	}
	return l.wheel.until(time.Since(l.start))
}

// later has a connection go on after the others.
func (l *loop) later(c *conn) {
	if !c.queued {
		c.queued = true
		l.ready = append(l.ready, c)
	}
}

func (l *loop) goOn() {
	round := l.ready
	l.ready = l.spare[:0]
	for i, c := range round {
		c.queued = false
		c.run()
		round[i] = nil
	}
	l.spare = round
}

// obey executes what others want of the loop.
func (l *loop) obey() {
	if !l.poller.woken {
		return
	}
	l.poller.woken = false
	l.mu.Lock()
	commands := l.commands
	l.commands = nil
	l.mu.Unlock()
	for _, f := range commands {
		f()
	}
}

func (l *loop) stop() {
	for _, conns := range l.conns {
		for c := range conns {
			c.end(Stopped, inOrder)
		}
	}
	l.ended = true
}

func (l *loop) keep(c *conn) {
	if l.conns[c.server] == nil {
		l.conns[c.server] = map[*conn]struct{}{}
	}
	l.conns[c.server][c] = struct{}{}
}

func (l *loop) forget(c *conn) {
	delete(l.conns[c.server], c)
	if len(l.conns[c.server]) == 0 {
		delete(l.conns, c.server)
	}
}

// release closes what the loop has. Commands that came too late have nothing to
// do any more.
func (l *loop) release() {
	l.mu.Lock()
	l.closed = true
	late := l.commands
	l.commands = nil
	l.mu.Unlock()
	for _, f := range late {
		f()
	}
	l.pipes.close()
	l.poller.close()
}

// closeAll closes descriptors with nothing left to be done when that fails.
func closeAll(fds ...int) {
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
}
