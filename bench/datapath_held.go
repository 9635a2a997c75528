package main

import (
	"bytes"
	"errors"
	"io"
	"net"
	"time"
)

// heldConnections are a client's that say something now and then.
type heldConnections struct{ conns []net.Conn }

// lost asks for a page on each connection and counts those without an answer.
func (h *heldConnections) lost() int {
	n := 0
	for _, c := range h.conns {
		if ask(c) != nil {
			n++
		}
	}
	return n
}

// ask asks a target of the segment for a page and reads the whole of it.
func ask(c net.Conn) error {
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: bench\r\n\r\n"); err != nil {
		return err
	}
	var answer []byte
	part := make([]byte, 4096)
	for !bytes.HasSuffix(answer, []byte("\r\n\r\nhello\n")) {
		n, err := c.Read(part)
		if err != nil {
			return err
		}
		answer = append(answer, part[:n]...)
	}
	return nil
}

func (h *heldConnections) close() error {
	var errs []error
	for _, c := range h.conns {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}
