package proxy

import (
	"errors"
	"io"
	"net"
	"testing"
)

func TestBatchesAreBoundedAndLentAgain(t *testing.T) {
	var b batches
	var lent []*batch
	for range maxBatches {
		lent = append(lent, b.get())
	}
	if b.get() != nil {
		t.Errorf("a batch more than %d", maxBatches)
	}
	b.put(lent[0])
	if b.get() == nil {
		t.Error("the room of a batch that was given back is lost")
	}
}

// connected are both ends of a connection.
func connected(t *testing.T) (near, far *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	other, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Close() })
	return c.(*net.TCPConn), other.(*net.TCPConn)
}

func TestWhatIsWrittenTogetherArrivesInOrder(t *testing.T) {
	near, far := connected(t)
	c := newRawConn(near)
	write := func(what ...string) error {
		var errs []error
		for _, w := range what {
			_, err := io.WriteString(c, w)
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	}
	err := errors.Join(
		write("alone,"),
		c.together(make([]byte, 0, 1), func() error { return write("one,", "two,") }), // more than there is room for
		write("alone again"), c.CloseWrite(),
	)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(far); string(got) != "alone,one,two,alone again" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestNothingOfAFailedBatchLeaves(t *testing.T) {
	near, far := connected(t)
	c, broken := newRawConn(near), errors.New("broken")
	err := c.together(nil, func() error {
		_, err := io.WriteString(c, "half of it")
		return errors.Join(err, broken)
	})
	if !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(far); len(got) > 0 || err != nil {
		t.Errorf("got %q, %v; want nothing", got, err)
	}
}
