package loop

import (
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// Room of what the machine reads into, small so that it fills up often.
const (
	testBuffer = 4
	testPipe   = 9
)

// peer is a socket as the kernel has it, and what its other end did.
type peer struct {
	unread int // bytes that came and were not read
	mark   int // of them, those before urgent data; 0: there is none
	fin    bool
	room   int  // bytes that can be written
	edge   bool // there is something to tell

	sent, got int // by and to the other end
	gotFin    bool
}

// level is the events that are true of a socket.
func (p *peer) level() (events uint32) {
	if p.unread > 0 || p.fin {
		events |= unix.EPOLLIN
	}
	if p.fin {
		events |= unix.EPOLLRDHUP
	}
	if p.mark > 0 {
		events |= unix.EPOLLPRI
	}
	if p.room > 0 {
		events |= unix.EPOLLOUT
	}
	return events
}

// take is a read of at most some bytes, which stops at urgent data.
func (p *peer) take(most int) outcome {
	n := min(p.unread, most)
	if p.mark > 0 && p.mark <= n {
		n, p.mark = p.mark, 0
	} else if p.mark > 0 {
		p.mark -= n
	}
	p.unread -= n
	return outcome{n: n, blocked: n == 0 && !p.fin, full: n == most}
}

// put is a write.
func (p *peer) put(n int) outcome {
	did := min(n, p.room)
	p.room -= did
	p.got += did
	return outcome{n: did, blocked: did < n}
}

// kernel executes steps of a machine that is under test.
type kernel struct {
	*rapid.T
	state state
	peers [2]*peer
}

func newKernel(t *rapid.T) *kernel {
	room := rapid.SampledFrom([]int{5, 1 << 20})
	k := &kernel{T: t, peers: [2]*peer{{room: room.Draw(t, "client's room"), edge: true}, {room: room.Draw(t, "target's room"), edge: true}}}
	k.state = newState()
	return k
}

// run does what the machine wants without an event. Bytes that were read into
// the buffer of all connections have to be written at once.
func (k *kernel) run() {
	for {
		s := k.state.next()
		if s.op == wait {
			return
		}
		k.state = k.state.after(s, k.do(s))
		if n := k.state.next(); s.op == read && k.state.streams[s.from].held > 0 && n != (step{write, s.from}) {
			k.Fatalf("after %+v comes %+v, want a write", s, n)
		}
		if k.state.phase == over && (s.op != finish || !k.state.streams[client].ended || !k.state.streams[target].ended) {
			k.Fatalf("%+v ended it in %+v", s, k.state)
		}
	}
}

func (k *kernel) do(s step) outcome {
	from, to := k.peers[s.from], k.peers[s.from.other()]
	held := k.state.streams[s.from].held
	switch s.op {
	case greet:
		return outcome{n: headerOf(k.peers)}
	case fail:
		k.Fatalf("fails without an error in %+v", k.state)
	case read:
		return from.take(testBuffer)
	case fill:
		return from.take(testPipe)
	case write, drain:
		return to.put(held)
	case shut:
		to.gotFin = true
	}
	return outcome{}
}

// headerOf is what a target gets first; it counts as sent by the client.
func headerOf(peers [2]*peer) int {
	peers[client].sent += 3
	return 3
}

// tell delivers what a socket has to tell.
func (k *kernel) tell(of side) {
	if p := k.peers[of]; p.edge {
		p.edge = false
		k.state = k.state.told(of, p.level())
		k.run()
	}
}

// act is something that a peer does, or an event that is delivered.
func (k *kernel) act() {
	of := side(rapid.IntRange(0, 1).Draw(k.T, "side"))
	p := k.peers[of]
	switch rapid.IntRange(0, 5).Draw(k.T, "act") {
	case 0, 1:
		k.tell(of)
	case 2:
		p.says(rapid.IntRange(1, 12).Draw(k.T, "bytes"))
	case 3:
		p.says(rapid.IntRange(1, 3).Draw(k.T, "before"))
		p.mark = p.unread
		p.says(rapid.IntRange(1, 3).Draw(k.T, "behind"))
	case 4:
		p.fin, p.edge = true, true
	case 5:
		p.hears(rapid.IntRange(1, 12).Draw(k.T, "room"))
	}
}

func (p *peer) says(n int) {
	if !p.fin {
		p.unread, p.sent, p.edge = p.unread+n, p.sent+n, true
	}
}

// hears makes room for writes, which the kernel tells of when there was none.
func (p *peer) hears(n int) {
	p.edge = p.edge || p.room == 0
	p.room += n
}

// Whatever peers do in whatever order, all bytes arrive, ends follow them, and
// the connection is over when both have ended.
func TestAllBytesArriveAndThenTheEnd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := newKernel(t)
		for range rapid.IntRange(0, 60).Draw(t, "acts") {
			k.act()
		}
		for range 200 { // enough for all that is left
			for _, of := range []side{client, target} {
				k.peers[of].hears(20)
				k.tell(of)
			}
		}
		k.quiet()
		for _, p := range k.peers {
			p.fin, p.edge = true, true
		}
		k.tell(client)
		k.tell(target)
		if k.state.phase != over {
			t.Fatalf("both have ended, and the connection is in %+v", k.state)
		}
	})
}

// quiet checks that nothing is left over when nothing more happens.
func (k *kernel) quiet() {
	for from, p := range k.peers {
		to := k.peers[side(from).other()]
		if to.got != p.sent || p.unread > 0 {
			k.Fatalf("side %d sent %d bytes, of which %d were not read and %d arrived, in %+v", from, p.sent, p.unread, to.got, k.state)
		}
		if both := p.fin && to.fin; both != (k.state.phase == over) {
			k.Fatalf("both have ended: %v, in %+v", both, k.state)
		}
		if p.fin && !to.gotFin && !to.fin || to.gotFin && !p.fin {
			k.Fatalf("side %d has ended: %v; the other was told: %v", from, p.fin, to.gotFin)
		}
		if h := k.state.streams[from]; h.held > 0 || h.inPipe {
			k.Fatalf("an idle connection holds %+v", h)
		}
	}
}

func TestAnErrorEndsAConnectionFromEveryState(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := newKernel(t)
		for range rapid.IntRange(0, 30).Draw(t, "acts") {
			k.act()
		}
		if k.state.phase == over {
			return
		}
		state := k.state.told(side(rapid.IntRange(0, 1).Draw(t, "side")), unix.EPOLLERR|unix.EPOLLHUP)
		s := state.next()
		if s.op == wait && state.phase != dialing {
			t.Fatalf("after an error nothing happens in %+v", state)
		}
		if after := state.after(s, outcome{failed: true}); after.phase != over || after.next().op != wait {
			t.Fatalf("%+v failed and the state is %+v", s, after)
		}
	})
}

func TestATargetThatDoesNotAnswerIsLeft(t *testing.T) {
	s := newState()
	if got := s.next().op; got != wait {
		t.Errorf("a new connection does %v, want it to wait", got)
	}
	failed := s.told(target, unix.EPOLLOUT|unix.EPOLLERR|unix.EPOLLHUP)
	if got := failed.next().op; got != redial {
		t.Errorf("after an error: %v, want redial", got)
	}
	if got := failed.after(step{op: redial}, outcome{}); got != s {
		t.Errorf("the next target begins in %+v", got)
	}
}
