// Command bench runs Fairlead's benchmarks and writes their results as rows,
// one file for all suites, so that a figure in the documentation can always be
// traced to a commit and a machine.
//
// A peer is measured in the same run as its counterpart, interleaved, because
// machines are noisy and only ratios of one run mean anything.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
)

// suite measures one thing; its rows' names begin with the area, as Row says.
type suite struct {
	name string
	run  func(context.Context, programs) ([]Row, error)
}

func suites() []suite {
	return []suite{
		{"api", api},
		{"controller", controllers},
		{"scale", scale},
		{"datapath", dataPath},
		{"chain", chain},
		{"fan", fan},
		{"flood", flood},
		{"edge_idle", edgeIdle},
		{"proxy", proxies},
		{"proxy_http", proxyHTTP},
	}
}

// programs are paths of what is measured as its users run it.
type programs struct {
	fairlead string
	peers    string // the script that builds peers
}

func main() {
	out := flag.String("o", "bench/results.json", "file to write the rows to")
	only := flag.String("only", "", "comma-separated suites to run; empty means all")
	var p programs
	flag.StringVar(&p.fairlead, "fairlead", "bin/fairlead", "path of the fairlead program to measure")
	flag.StringVar(&p.peers, "peers", "peers/build.sh", "path of the script that builds peers")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, p, *out, *only)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

// run is the benchmarks, or what this program does as one of their processes.
func run(ctx context.Context, p programs, out, only string) error {
	if flag.Arg(0) == serveProxyCommand {
		return serveProxy(ctx, flag.Arg(1))
	}
	return runAll(ctx, p, out, only)
}

// runAll goes on after a suite that failed: its rows stay as they were, and what
// the others measured, for an hour perhaps, is kept.
func runAll(ctx context.Context, p programs, out, only string) error {
	wanted, err := choose(suites(), only)
	if err != nil {
		return err
	}
	var all []Row
	var errs []error
	for _, s := range wanted {
		if ctx.Err() != nil {
			break
		}
		fmt.Fprintf(os.Stderr, "== %s\n", s.name)
		rows, err := s.run(ctx, p)
		if err == nil {
			err = write(out, rows)
		}
		if err != nil {
			err = fmt.Errorf("suite %s: %w", s.name, err)
			fmt.Fprintf(os.Stderr, "   %v\n", err)
			errs = append(errs, err)
			continue
		}
		all = append(all, rows...)
	}
	print(os.Stdout, all)
	return errors.Join(append(errs, ctx.Err())...)
}

// choose finds suites by their names, separated by commas; none means all.
func choose(all []suite, names string) (chosen []suite, err error) {
	if names == "" {
		return all, nil
	}
	var errs []error
	for name := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(all, func(s suite) bool { return s.name == name })
		if i < 0 {
			errs = append(errs, fmt.Errorf("there is no suite %q", name))
			continue
		}
		chosen = append(chosen, all[i])
	}
	if len(errs) > 0 {
		var known []string
		for _, s := range all {
			known = append(known, s.name)
		}
		errs = append(errs, fmt.Errorf("suites are %s", strings.Join(known, ", ")))
	}
	return chosen, errors.Join(errs...)
}
