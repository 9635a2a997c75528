package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"

	"github.com/fairlead-lb/fairlead/internal/netlab"
)

// acceptors accept connections on many ports, and count them.
type acceptors struct {
	listeners []net.Listener
	accepted  atomic.Int64
}

// acceptAll listens on all addresses of a namespace.
func acceptAll(namespace string, firstPort, ports int) (*acceptors, error) {
	a := &acceptors{}
	var plain net.ListenConfig
	plain.SetMultipathTCP(false) // few servers do, and it costs both ends
	err := netlab.In(namespace, func() error {
		for i := range ports {
			ln, err := plain.Listen(context.Background(), "tcp", fmt.Sprintf(":%d", firstPort+i))
			if err != nil {
				return err
			}
			a.listeners = append(a.listeners, ln)
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, a.close())
	}
	for _, ln := range a.listeners {
		go a.accept(ln)
	}
	return a, nil
}

func (a *acceptors) accept(ln net.Listener) {
	for c, err := ln.Accept(); err == nil; c, err = ln.Accept() {
		a.accepted.Add(1)
		c.Close()
	}
}

func (a *acceptors) close() error {
	var errs []error
	for _, ln := range a.listeners {
		errs = append(errs, ln.Close())
	}
	return errors.Join(errs...)
}
