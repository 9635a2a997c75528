package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// result is all that a soak found.
type result struct {
	held          held
	disturbances  int
	before, after []usage
}

// usage is the resident memory of a process of the lab.
type usage struct {
	component string
	kib       int
}

// report prints what was found; losing a connection is an error.
func report(w io.Writer, r result) error {
	fmt.Fprintf(w, "\n%d disturbances; %d requests answered, half of them within %v, 99 %% within %v, all within %v\n",
		r.disturbances, r.held.requests, r.held.quantile(0.5), r.held.quantile(0.99), r.held.quantile(1))
	fmt.Fprintf(w, "connections kept: %d, lost: %d\n\n", r.held.open, len(r.held.lost))
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "resident memory\tbefore\tafter")
	for i, u := range r.before {
		if i < len(r.after) {
			fmt.Fprintf(table, "%s\t%d MiB\t%d MiB\n", u.component, u.kib>>10, r.after[i].kib>>10)
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if r.disturbances == 0 || r.held.requests == 0 {
		return errors.New("nothing was disturbed or asked: -for is too short")
	}
	if n := len(r.held.lost); n > 0 {
		return fmt.Errorf("%d connections to targets that stayed were lost; the first: %w", n, r.held.lost[0])
	}
	return nil
}

func (h held) quantile(q float64) time.Duration {
	if len(h.latencies) == 0 {
		return 0
	}
	return h.latencies[int(q*float64(len(h.latencies)-1))].Round(10 * time.Microsecond)
}

// memory reads the resident memory of the programs that a soak is about.
func (h *house) memory(ctx context.Context) []usage {
	status, err := h.Status(ctx)
	if err != nil {
		return nil
	}
	names := []string{"engine", "controller"}
	for _, z := range h.Layout().Zones {
		names = append(names, "edge-"+z.Name)
	}
	var all []usage
	for _, c := range status.Components {
		if slices.Contains(names, c.Name) {
			all = append(all, usage{c.Name, resident(c.PID)})
		}
	}
	return all
}

// resident is VmRSS of proc(5), in KiB; 0 for a process that is gone.
func resident(pid int) int {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(data), "VmRSS:")
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return 0
	}
	kib, _ := strconv.Atoi(fields[0]) // the kernel writes a number
	return kib
}
