package edge_test

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"
)

// TestASuccessorServesTheSockets: an edge that is started beside a running one
// takes its place. No connection is refused meanwhile, those that are open go on,
// and the first edge ends with the last of them, or when it is told to.
func TestASuccessorServesTheSockets(t *testing.T) {
	b := newBench(t)
	b.serve(t, "target1")
	b.node(t, "target1")
	go greet(&proxyproto.Listener{Listener: b.listen(t, "target1", 30081), ConnPolicy: lenient}, "target1")
	first := b.edge(t)
	b.engine.publish(rootlessSnapshot())
	b.engine.wait(t, 1, 2, 0)
	const byPackets, bySocket = "198.18.16.200:8080", "198.18.16.200:8081"
	packets, socket := b.connect(t, "client", byPackets), b.greeting(t, "client", bySocket)

	ctx, cancel := context.WithCancel(t.Context())
	refused := make(chan error, 1)
	go func() { refused <- b.hammer(ctx, bySocket) }()
	second := b.edge(t)
	wait(t, "the second edge has a session", func() bool { return b.engine.count() == 2 })
	b.engine.wait(t, 1, 2, 0)
	packets.say(t, "by packets")
	socket.say(t, strings.Repeat("through the first edge ", 10_000))
	b.connect(t, "client", byPackets).say(t, "new, by packets")
	b.greeting(t, "client", bySocket).say(t, "new, through its successor")
	cancel()
	if err := <-refused; err != nil {
		t.Errorf("a connection while the sockets changed hands: %v", err)
	}
	select {
	case <-first.done:
		t.Error("the first edge ended before its last connection")
	default:
	}
	socket.Close()
	select {
	case <-first.done:
	case <-time.After(patience):
		t.Error("the first edge does not end with its last connection")
	}

	b.greeting(t, "client", bySocket) // stays open
	b.edge(t)
	wait(t, "the third edge has a session", func() bool { return b.engine.count() == 3 })
	second.end(syscall.SIGTERM)
}

// hammer makes one connection after another until ctx ends or one fails.
func (b *bench) hammer(ctx context.Context, addr string) error {
	for n := 1; ctx.Err() == nil; n++ {
		c, err := b.dial("client", addr, patience)
		if err != nil {
			return fmt.Errorf("connection %d: %w", n, err)
		}
		c.Close()
	}
	return nil
}

// count is how many sessions there have been.
func (e *engine) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.sessions
}
