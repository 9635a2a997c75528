package loop

import (
	"fmt"
	"net/netip"
	"syscall"
	"time"
)

// Server says who serves the connections of a listening socket.
type Server interface {
	// Accept is called for each connection; nil resets it.
	Accept(c Client) Session
}

// Session is one connection as its server sees it. Its loop calls the methods,
// one at a time, and waits meanwhile: they must not block.
type Session interface {
	// Dial says where to connect to, and is told why the last attempt failed, nil
	// at first. When ok is false the client is reset.
	Dial(failed error) (d Dialing, ok bool)
	// Connected is called once, when a target has answered. When ok is false the
	// connection is closed at once.
	Connected() (g Greeting, ok bool)
	// Received is called for bytes of either side, before they are passed on.
	Received(n int)
	// IdleTimeout is for how long both sides may say nothing. It may change.
	IdleTimeout() time.Duration
	// Ended is called once and last, right before both sockets are closed.
	Ended(e End)
}

// Client is the client's end of a connection.
type Client struct {
	Addr netip.AddrPort
	fd   int
}

// Local is the address that the client connected to. It can be asked for until
// the Session has ended.
func (c Client) Local() (netip.AddrPort, error) {
	s, err := syscall.Getsockname(c.fd)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("ask for the address that %s connected to: %w", c.Addr, err)
	}
	return addrPort(s), nil
}

// Greeting is how a relay begins.
type Greeting struct {
	Header     []byte // what the target gets before the client's bytes; not counted
	Keepalives bool   // keepalives count as activity
	Timed      bool   // End tells when bytes passed
}

// End is how a connection was.
type End struct {
	Why         Why
	There, Back Passage // from the client, and to it
}

// Why is why a connection ended.
type Why int

// Reasons for which connections end.
const (
	Finished   Why = iota // both sides have said all they had
	Failed                // one of the sides is gone
	Refused               // no target took it: the Session said so
	Idle                  // neither side said anything
	Terminated            // Group.End chose it
	Stopped               // the loops were stopped
)

// Passage is what one direction of a connection carried.
type Passage struct {
	Bytes        int64
	First, Moved time.Time // when the first piece came, and when it had been passed on; zero unless Timed
}
