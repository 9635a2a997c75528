// Command bench runs Fairlead's benchmarks and writes their results as rows,
// one file for all suites, so that a figure in the documentation can always be
// traced to a commit and a machine.
//
// A peer is measured in the same run as its counterpart, interleaved, because
// machines are noisy and only ratios of one run mean anything.
package main

import (
	"context"
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

func runAll(ctx context.Context, p programs, out, only string) error {
	var rows []Row
	for _, s := range suites() {
		if only != "" && !slices.Contains(strings.Split(only, ","), s.name) {
			continue
		}
		fmt.Fprintf(os.Stderr, "== %s\n", s.name)
		r, err := s.run(ctx, p)
		if err != nil {
			return fmt.Errorf("suite %s: %w", s.name, err)
		}
		rows = append(rows, r...)
	}
	print(os.Stdout, rows)
	return write(out, rows)
}
