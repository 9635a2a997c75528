package main

import (
	"context"
	"errors"
	"fmt"
	"os"
)

const (
	scaleServices = 1000
	scaleNodes    = 20
)

// scale is our controller alone with 1,000 Services on 20 nodes.
func scale(ctx context.Context, p programs) (rows []Row, err error) {
	c := &contender{name: "fairlead", launch: ours(p.fairlead)}
	if c.world, err = newWorld(ctx, scaleNodes); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.world.close()) }()
	if err := c.start(ctx); err != nil {
		return nil, err
	}
	defer func() { c.process.Stop() }()
	for _, s := range []situation{
		{"create_1000", 0, add(0, scaleServices), haveNames(scaleServices)},
		{"restart_with_1000", 0, restart, always},
		{"node_leaves_with_1000", 0, removeNode(scaleNodes - 1), deregistered(scaleServices)},
		{"resync_1000", 0, restart, swept},
		{"delete_1000", 0, remove(0, scaleServices), haveNames(0)},
	} {
		if s.name == "resync_1000" {
			c.launch = ours(p.fairlead, "--resync=1m")
		}
		if s.name == "delete_1000" {
			mb, err := resident(c.process.PID(), "VmRSS")
			if err != nil {
				return nil, err
			}
			rows = append(rows, Row{Name: "controller.memory_with_1000", Unit: "MB", Value: mb}.atMost(120))
		}
		e, err := s.measure(ctx, c)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
		fmt.Fprintf(os.Stderr, "   %s: %d calls, %.2f s: %s\n", s.name, len(e.calls), e.seconds, actions(e.calls))
		rows = append(rows, s.rows(e)...)
	}
	return rows, nil
}

// swept is done when all Services have been compared with AWS once.
func swept(_ context.Context, w *world) (bool, error) { return w.aws.count("GetResources") > 0, nil }
