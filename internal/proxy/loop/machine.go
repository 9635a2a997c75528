package loop

import "golang.org/x/sys/unix"

// side is one of the two peers of a connection, or the stream of bytes that comes
// from it.
type side uint8

const (
	client side = iota
	target
)

func (s side) other() side { return 1 - s }

// phase is how far a connection has come.
type phase uint8

const (
	dialing  phase = iota // no target has answered yet
	relaying              // bytes move
	over                  // both sockets are to be closed, or are
)

// state is all that decides what a connection does next.
type state struct {
	phase   phase
	turn    side // whose stream goes first
	sockets [2]readiness
	streams [2]stream
}

// readiness is what is known of a socket. Edge-triggered events set it, and
// trying in vain clears it.
type readiness struct {
	readable, writable bool
	finished           bool // the peer's FIN has come: no more bytes will
	failed             bool // there is an error to be read
	urgent             bool // urgent data has come: reads can stop early (tcp(7), SO_OOBINLINE)
}

// stream is the bytes of one direction.
type stream struct {
	held   int  // bytes that were read and not yet written
	inPipe bool // they are in a pipe
	bulk   bool // the last read got much
	ended  bool // all has been read
	shut   bool // and the other side knows
}

// op is what a connection does next.
type op uint8

const (
	wait   op = iota // for events
	greet            // the target has answered
	redial           // it has not
	read             // into the loop's buffer; a write follows at once
	fill             // a pipe, from a socket
	write            // what is held
	drain            // a pipe, into a socket
	shut             // pass an end on
	finish           // all has been said
	fail             // one side is gone
)

// step is an op on a stream.
type step struct {
	op   op
	from side
}

// outcome is how a step went.
type outcome struct {
	n       int  // bytes moved; of greet, bytes of a header that the target gets first
	full    bool // as many as there was room for
	blocked bool // try again after an event
	failed  bool
}

// newState is that of a connection that was accepted: the client's socket takes
// bytes and may have some.
func newState() (s state) {
	s.sockets[client] = readiness{readable: true, writable: true}
	return s
}

// told is the state after events of a socket.
func (s state) told(of side, events uint32) state {
	k := &s.sockets[of]
	k.finished = k.finished || events&unix.EPOLLRDHUP != 0
	k.failed = k.failed || events&unix.EPOLLERR != 0
	k.urgent = k.urgent || events&unix.EPOLLPRI != 0
	k.readable = k.readable || k.finished || k.failed || events&(unix.EPOLLIN|unix.EPOLLHUP) != 0
	k.writable = k.writable || k.failed || events&unix.EPOLLOUT != 0
	return s
}

// next is what to do in a state.
func (s state) next() step {
	switch s.phase {
	case over:
		return step{op: wait}
	case dialing:
		return step{op: s.answered()}
	}
	if s.streams[client].done() && s.streams[target].done() {
		return step{op: finish}
	}
	for _, from := range [2]side{s.turn, s.turn.other()} {
		if do := s.nextOf(from); do != wait {
			return step{do, from}
		}
	}
	if s.sockets[client].failed || s.sockets[target].failed {
		return step{op: fail} // what came before has been passed on as far as it could be
	}
	return step{op: wait}
}

// done says that nothing is left to be read or written.
func (t stream) done() bool { return t.ended && t.held == 0 }

// answered is what a dialed target makes necessary.
func (s state) answered() op {
	switch t := s.sockets[target]; {
	case t.failed:
		return redial
	case t.writable:
		return greet
	}
	return wait
}

// nextOf is what to do for a stream. Nothing is read that cannot be written.
func (s state) nextOf(from side) op {
	t, in, out := s.streams[from], s.sockets[from], s.sockets[from.other()]
	switch {
	case t.shut || t.held > 0 && !out.writable:
		return wait
	case t.inPipe:
		return drain
	case t.held > 0:
		return write
	case t.ended:
		return shut
	case !in.readable || !out.writable:
		return wait
	case t.bulk:
		return fill
	}
	return read
}

// after is the state when a step is done.
func (s state) after(did step, o outcome) state {
	if o.failed {
		s.phase = over
		return s
	}
	switch did.op {
	case greet:
		s.phase = relaying
		s.streams[client].held = o.n
	case redial:
		s.sockets[target] = readiness{}
	case read, fill:
		s.took(did, o)
	case write, drain:
		t := &s.streams[did.from]
		t.held -= o.n
		t.inPipe = t.inPipe && t.held > 0
		s.sockets[did.from.other()].writable = !o.blocked
		s.turn = did.from.other()
	case shut:
		s.streams[did.from].shut = true
	case finish:
		s.phase = over
	}
	return s
}

// took is what a read makes known. One that leaves room has emptied the socket,
// so that the next bytes are an event of their own (epoll(7)) and those before an
// end are all there are; urgent data and errors are the exceptions.
func (s *state) took(did step, o outcome) {
	t, in := &s.streams[did.from], &s.sockets[did.from]
	switch {
	case o.blocked:
		in.readable, t.bulk = false, false
		return
	case o.n == 0:
		t.ended = true
		return
	}
	t.held, t.inPipe, t.bulk = o.n, did.op == fill, o.full
	if did.op == read && !o.full && !in.urgent && !in.failed {
		t.ended = in.finished
		in.readable = false
	}
}
