// Command soak holds connections through a load balancer while everything around
// them changes: targets come and go and fail their checks, engine, edges and
// controller are restarted and killed. It fails when a connection to a target
// that stayed is lost.
//
// It is not part of 'go test': it takes as long as it is told.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/fairlead-lb/fairlead/internal/lab"
)

// config is what a soak is told.
type config struct {
	bin         string
	connections int
	length      time.Duration
	pause       time.Duration
}

func main() {
	var c config
	flag.StringVar(&c.bin, "bin", "bin", "directory of fairlead and fairlead-lab")
	flag.IntVar(&c.connections, "connections", 1000, "connections to hold")
	flag.DurationVar(&c.length, "for", 5*time.Minute, "how long to hold them; what is under way is finished")
	flag.DurationVar(&c.pause, "pause", 3*time.Second, "time between two disturbances")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, c)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "soak: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, c config) (err error) {
	h, err := raise(ctx, c.bin)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.raze()) }()
	address, err := h.serve(ctx)
	if err != nil {
		return err
	}
	crowd, err := gather(ctx, h.client(), address, c.connections)
	if err != nil {
		return err
	}
	progress("%d connections are open", c.connections)
	before := h.memory(ctx)
	done, err := h.disturb(ctx, c)
	if err != nil {
		return err
	}
	return report(os.Stdout, result{held: crowd.end(), disturbances: done, before: before, after: h.memory(ctx)})
}

// house is the lab that is soaked.
type house struct {
	*lab.Lab
	dir string
}

const nodes = 4

func raise(ctx context.Context, bin string) (*house, error) {
	dir, err := os.MkdirTemp("", "soak-")
	if err != nil {
		return nil, err
	}
	o, err := lab.Beside("soak", dir, bin)
	if err != nil {
		return nil, err
	}
	o.Nodes, o.Progress = nodes, os.Stderr
	l, err := lab.Up(ctx, o)
	if err != nil {
		return nil, err
	}
	return &house{Lab: l, dir: dir}, nil
}

func (h *house) raze() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	return errors.Join(lab.Down(ctx, h.StateDir(), io.Discard), os.RemoveAll(h.dir))
}

func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format("15:04:05 ")+format+"\n", args...)
}
