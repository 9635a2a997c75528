// Command peers proves that clients of others work against the engine without a
// change: it starts a lab without our controller, runs cloud-provider-aws in its
// place and walks Services through their lives, with traffic from outside.
//
// It prints one row per thing that was checked, and ends with 1 when any failed.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/fairlead-lb/fairlead/test/peers/cpa"
)

func main() {
	binary := flag.String("cpa", "", "path of "+cpa.Name+", as peers/build.sh prints it (required)")
	bin := flag.String("bin", "bin", "directory of fairlead and fairlead-lab")
	keep := flag.Bool("keep", false, "leave the lab up after a failure, for a look at it")
	flag.Parse()
	if *binary == "" {
		fmt.Fprintln(os.Stderr, "peers: -cpa is missing; run 'make peers', which builds it")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *binary, *bin, *keep)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "peers: %v\n", err)
		os.Exit(1)
	}
}

// result is a row of the table.
type result struct {
	peer, what string
	took       time.Duration
	err        error
}

// check is one thing that a peer must be able to do. Later ones build on
// earlier ones.
type check struct {
	what string
	do   func(context.Context) error
}

func run(ctx context.Context, binary, bin string, keep bool) (err error) {
	h, err := raise(ctx, binary, bin)
	if err != nil {
		return err
	}
	results, passed := h.walk(ctx)
	printTable(results)
	if !passed {
		h.showLogs()
	}
	if passed || !keep {
		err = h.raze()
	} else {
		fmt.Fprintf(os.Stderr, "the lab is in %s; take it away with 'fairlead-lab down --state-dir %s'\n", h.StateDir(), h.StateDir())
		h.peer.Stop()
	}
	if err == nil && !passed {
		err = fmt.Errorf("not everything works")
	}
	return err
}

// walk runs the lives one after the other; what comes after a failure in the
// same life is not tried.
func (h *house) walk(ctx context.Context) (results []result, passed bool) {
	passed = true
	peer := "cloud-provider-aws " + cpa.Version
	for _, life := range [][]check{h.networkLife(), h.annotatedLife(), h.classicLife()} {
		for _, c := range life {
			start := time.Now()
			err := c.do(ctx)
			if err == nil {
				err = h.peer.Ended()
			}
			r := result{peer, c.what, time.Since(start), err}
			results = append(results, r)
			fmt.Fprintf(os.Stderr, "%s %s (%.1f s)\n", mark(err), c.what, r.took.Seconds())
			if err != nil {
				passed = false
				break
			}
		}
	}
	return results, passed
}

func mark(err error) string {
	if err != nil {
		return "✗"
	}
	return "✓"
}

func printTable(results []result) {
	fmt.Println()
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "peer\twhat\tresult\tseconds")
	for _, r := range results {
		verdict := "passed"
		if r.err != nil {
			verdict = "FAILED"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%.1f\n", r.peer, r.what, verdict, r.took.Seconds())
	}
	w.Flush()
	for _, r := range results {
		if r.err != nil {
			fmt.Printf("\nFAILED %s: %v\n", r.what, r.err)
		}
	}
}
