package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fairlead-lb/fairlead/internal/netlab"
)

const chainRounds = 10 // each hop once a round, in turn

// load is a way to use a server.
type load struct {
	name    string
	seconds int
	args    []string
}

func loads() []load {
	return []load{
		{name: "keepalive", seconds: 2},
		{name: "connections", seconds: 1, args: []string{"-H", "Connection: close"}},
	}
}

// wrkResult is what wrk says.
type wrkResult struct {
	rate           float64 // requests a second
	p50, p99, p999 float64 // ms
}

// wrk loads a hop from its client, over 32 connections.
func (s *segment) wrk(ctx context.Context, h hop, l load) (r wrkResult, err error) {
	path, err := netlab.LookPath("wrk")
	if err != nil {
		return r, fmt.Errorf("find wrk: %w; next: scripts/install-packages.sh bench", err)
	}
	script, err := s.wrkScript()
	if err != nil {
		return r, err
	}
	args := append([]string{"-t1", "-c32", fmt.Sprintf("-d%ds", l.seconds), "--latency", "-s", script}, l.args...)
	cmd := exec.CommandContext(ctx, path, append(args, h.url())...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := s.launcher.Start(cmd, s.client(h)); err != nil {
		return r, err
	}
	if err := cmd.Wait(); err != nil {
		return r, fmt.Errorf("%w: %s", err, out.String())
	}
	return parseWrk(out.String())
}

// wrkScript has wrk say what it does not say by itself.
func (s *segment) wrkScript() (path string, err error) {
	path = filepath.Join(s.dir, "wrk.lua")
	const script = "function done(summary, latency)\n io.write(string.format(\"99.9%% %dus\\n\", latency:percentile(99.9)))\nend\n"
	return path, os.WriteFile(path, []byte(script), 0o600)
}

// url is what clients ask for: the address, when it is not one already.
func (h hop) url() string {
	if strings.Contains(h.address, "://") {
		return h.address
	}
	return "http://" + h.address + "/"
}

// parseWrk reads wrk's output. Errors of sockets and other statuses than 200 are
// errors: what was measured is then something else.
func parseWrk(out string) (r wrkResult, err error) {
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		switch f[0] {
		case "50%":
			r.p50, err = milliseconds(f[1])
		case "99%":
			r.p99, err = milliseconds(f[1])
		case "99.9%":
			r.p999, err = milliseconds(f[1])
		case "Requests/sec:":
			r.rate, err = strconv.ParseFloat(f[1], 64)
		case "Socket", "Non-2xx":
			err = fmt.Errorf("wrk met errors: %s", strings.TrimSpace(line))
		}
		if err != nil {
			return r, err
		}
	}
	if r.rate == 0 {
		return r, fmt.Errorf("wrk got no answers: %s", out)
	}
	return r, nil
}

func milliseconds(s string) (float64, error) {
	d, err := time.ParseDuration(s)
	return float64(d) / float64(time.Millisecond), err
}

// compare loads all hops in turn, round by round, and sets ours beside each other one.
func (s *segment) compare(ctx context.Context) ([]Row, error) {
	var rows []Row
	for _, l := range loads() {
		results, err := s.rounds(chainRounds, l.name, hops(), func(h hop) (wrkResult, error) { return s.wrk(ctx, h, l) })
		if err != nil {
			return nil, err
		}
		for _, h := range hops()[1:] {
			rows = append(rows, besideOurs(l, h, results)...)
		}
	}
	return rows, nil
}

// rounds loads all hops in turn, round by round, and returns their results by
// the hops' names.
func (s *segment) rounds(count int, load string, hops []hop, one func(hop) (wrkResult, error)) (map[string][]wrkResult, error) {
	results := map[string][]wrkResult{}
	for range count {
		for _, h := range hops {
			r, err := one(h)
			if err != nil {
				return nil, fmt.Errorf("%s through %s: %w", load, h.name, err)
			}
			results[h.name] = append(results[h.name], r)
		}
	}
	fmt.Fprintf(os.Stderr, "   %s done, load averages: %s\n", load, loadAverages())
	return results, nil
}

// wrkFigure is one of the figures that wrk tells of a load.
type wrkFigure struct {
	name, unit string
	of         func(wrkResult) float64
}

func wrkFigures() []wrkFigure {
	return []wrkFigure{
		{"rate", "1/s", func(r wrkResult) float64 { return r.rate }},
		{"p50", "ms", func(r wrkResult) float64 { return r.p50 }},
		{"p99", "ms", func(r wrkResult) float64 { return r.p99 }},
		{"p99.9", "ms", func(r wrkResult) float64 { return r.p999 }},
	}
}

// values are a figure's, by the hops' names.
func (f wrkFigure) values(results map[string][]wrkResult) map[string][]float64 {
	values := map[string][]float64{}
	for name, rounds := range results {
		for _, r := range rounds {
			values[name] = append(values[name], f.of(r))
		}
	}
	return values
}

func besideOurs(l load, h hop, results map[string][]wrkResult) []Row {
	var rows []Row
	for _, f := range wrkFigures() {
		values := f.values(results)
		row, ratios := paired(Row{Name: "datapath.chain." + l.name + "." + f.name + "." + h.name, Unit: f.unit}, values["fairlead"], values[h.name], h.name)
		if l.name == "keepalive" && f.name == "rate" && h.aim > 0 {
			row = row.atLeastOfPeer(h.aim)
		}
		fmt.Fprintf(os.Stderr, "   %s: ratio %.2f, quartiles %.2f to %.2f\n", row.Name, row.Ratio, ratios[len(ratios)/4], ratios[len(ratios)*3/4])
		rows = append(rows, row)
	}
	return rows
}

// paired fills a row with the medians of both and of their rounds' ratios, which
// it returns in order: what disturbs a round disturbs both.
func paired(row Row, ours, theirs []float64, peer string) (Row, []float64) {
	ratios := make([]float64, len(ours))
	for i := range ours {
		ratios[i] = ours[i] / theirs[i]
	}
	slices.Sort(ratios)
	row.Value = median(ours)
	row = row.beside(peer, median(theirs))
	row.Ratio = median(ratios)
	return row, ratios
}

// median of two middle values is their mean.
func median(values []float64) float64 {
	v := slices.Sorted(slices.Values(values))
	n := len(v)
	return (v[(n-1)/2] + v[n/2]) / 2
}
