package proxy

import (
	"errors"
	"io"
	"net"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// rawConn is the connection beneath TLS. It blocks as any other until relay asks
// it not to, so that no buffer is held while nothing comes.
type rawConn struct {
	*net.TCPConn
	heard bool // the peer has said something
	fd    int  // while reads must not block; 0 otherwise

	greeting *greeting // of a client, when a TLS listener keeps an access log

	writing   sync.Mutex // what is read may be answered at any time (RFC 8446, 4.6.3)
	gathering bool
	gathered  []byte
}

func newRawConn(c *net.TCPConn) *rawConn { return &rawConn{TCPConn: c} }

// wouldBlock is what crypto/tls sees when there is nothing to read yet. Being
// temporary, it does not break the TLS connection.
type wouldBlock struct{}

func (wouldBlock) Error() string   { return "nothing to read yet" }
func (wouldBlock) Timeout() bool   { return true }
func (wouldBlock) Temporary() bool { return true }

func (c *rawConn) Read(b []byte) (int, error) {
	if c.fd == 0 {
		n, err := c.TCPConn.Read(b)
		c.heard = c.heard || n > 0
		return n, err
	}
	n, err := readNow(c.fd, b)
	if errors.Is(err, unix.EAGAIN) {
		return 0, wouldBlock{}
	}
	if n == 0 && err == nil {
		return 0, io.EOF
	}
	return n, err
}

// together has what f writes leave at once, in the order in which it was written.
// It is put into room.
func (c *rawConn) together(room []byte, f func() error) error {
	c.writing.Lock()
	c.gathering, c.gathered = true, room
	c.writing.Unlock()
	err := f()
	c.writing.Lock()
	defer c.writing.Unlock()
	all := c.gathered
	c.gathering, c.gathered = false, nil
	if err != nil {
		return err
	}
	_, err = c.TCPConn.Write(all)
	return err
}

func (c *rawConn) Write(b []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	if c.gathering {
		c.gathered = append(c.gathered, b...)
		return len(b), nil
	}
	return c.TCPConn.Write(b)
}

// readNow reads what there is; n is 0 at the end of the stream and on errors.
func readNow(fd int, b []byte) (n int, err error) {
	for {
		n, err = unix.Read(fd, b)
		if err != unix.EINTR {
			return max(n, 0), err
		}
	}
}

var _ syscall.Conn = (*rawConn)(nil)
