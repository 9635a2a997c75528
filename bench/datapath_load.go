package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
)

const chainRounds = 10 // each hop once a round, in turn

// load is a way to use a server. All clients of a hop together have so many
// connections.
type load struct {
	name        string
	seconds     int
	connections int
	path        string // that is asked for
	args        []string
	udp         bool
	aims        bool // those of hops are for this load
	figures     []figure
}

func keepAlive() load {
	return load{name: "keepalive", seconds: 2, connections: 32, aims: true, figures: timesAndRate()}
}

// connections has one connection for each request.
func connections() load {
	return load{name: "connections", seconds: 1, connections: 32, args: []string{"-H", "Connection: close"}, figures: timesAndRate()}
}

func bulk() load {
	return load{name: "bulk", seconds: 2, connections: 8, path: "large", args: []string{"--timeout", "30s"},
		figures: []figure{bytesRate()}}
}

func datagrams() load {
	return load{name: "udp", seconds: 1, connections: 16, udp: true,
		figures: []figure{{"rate", "packets/s", func(r result) float64 { return r.rate }}}}
}

// result is what the clients of a hop saw of a load, together.
type result struct {
	rate           float64 // answers a second
	megabytes      float64 // of a million bytes, a second
	p50, p99, p999 float64 // ms until an answer
}

// summarize puts clients together that ran side by side.
func summarize(said []wrkSaid) result {
	var r result
	took, n := map[int]int{}, 0
	for _, s := range said {
		r.rate += s.requests / s.microseconds * 1e6
		r.megabytes += s.bytes / s.microseconds
		for t, times := range s.took {
			took[t] += times
			n += times
		}
	}
	times := slices.Sorted(maps.Keys(took))
	at := func(q float64) float64 {
		seen := 0
		for _, t := range times {
			if seen += took[t]; float64(seen) >= q*float64(n) {
				return float64(t) / 1000
			}
		}
		return 0
	}
	r.p50, r.p99, r.p999 = at(0.5), at(0.99), at(0.999)
	return r
}

// figure is one of the figures of a load's result.
type figure struct {
	name, unit string
	of         func(result) float64
}

func rate() figure { return figure{"rate", "1/s", func(r result) float64 { return r.rate }} }

func bytesRate() figure {
	return figure{"bytes", "MB/s", func(r result) float64 { return r.megabytes }}
}

func timesAndRate() []figure {
	return []figure{
		rate(),
		{"p50", "ms", func(r result) float64 { return r.p50 }},
		{"p99", "ms", func(r result) float64 { return r.p99 }},
		{"p99.9", "ms", func(r result) float64 { return r.p999 }},
	}
}

// values are a figure's, by the hops' names.
func (f figure) values(results map[string][]result) map[string][]float64 {
	values := map[string][]float64{}
	for name, rounds := range results {
		for _, r := range rounds {
			values[name] = append(values[name], f.of(r))
		}
	}
	return values
}

// compare loads all hops in turn, round by round, and sets ours beside each other
// one. The first hop is ours.
func (s *segment) compare(ctx context.Context, prefix string, hops []hop) ([]Row, error) {
	var rows []Row
	for _, l := range []load{keepAlive(), connections(), bulk(), datagrams()} {
		able := slices.DeleteFunc(slices.Clone(hops), func(h hop) bool { return l.udp && h.tcpOnly })
		use := s.wrk
		if l.udp {
			use = s.exchange
		}
		results, err := s.rounds(chainRounds, l.name, able, func(h hop) (result, error) { return use(ctx, h, l) })
		if err != nil {
			return nil, err
		}
		for _, h := range able[1:] {
			rows = append(rows, besideOurs(prefix, l, h, results)...)
		}
	}
	return rows, nil
}

// rounds loads all hops in turn, round by round, and returns their results by
// the hops' names.
func (s *segment) rounds(count int, load string, hops []hop, one func(hop) (result, error)) (map[string][]result, error) {
	results := map[string][]result{}
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

// besideOurs sets our figures of a load beside a hop's.
func besideOurs(prefix string, l load, h hop, results map[string][]result) []Row {
	var rows []Row
	for _, f := range l.figures {
		values := f.values(results)
		row := paired(Row{Name: prefix + l.name + "." + f.name + "." + h.name, Unit: f.unit}, values["fairlead"], values[h.name], h.name)
		switch {
		case l.aims && f.name == "rate" && h.aim > 0:
			row = row.atLeastOfPeer(h.aim)
		case l.aims && f.name == "p99" && h.tailAim > 0:
			row = row.atMostOfPeer(h.tailAim)
		}
		fmt.Fprintf(os.Stderr, "   %s: ratio %.2f, quartiles %.2f to %.2f\n", row.Name, row.Ratio, row.RatioLow, row.RatioHigh)
		rows = append(rows, row)
	}
	return rows
}

// paired fills a row with the medians of both and of their rounds' ratios: what
// disturbs a round disturbs both.
func paired(row Row, ours, theirs []float64, peer string) Row {
	ratios := make([]float64, len(ours))
	for i := range ours {
		ratios[i] = ours[i] / theirs[i]
	}
	slices.Sort(ratios)
	row.Value = median(ours)
	row = row.beside(peer, median(theirs))
	row.Ratio, row.RatioLow, row.RatioHigh = median(ratios), ratios[len(ratios)/4], ratios[len(ratios)*3/4]
	return row
}

// median of two middle values is their mean.
func median(values []float64) float64 {
	v := slices.Sorted(slices.Values(values))
	n := len(v)
	return (v[(n-1)/2] + v[n/2]) / 2
}
