package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"text/tabwriter"
)

// Row is one result. Peer, PeerValue and Ratio are empty where nothing else
// does the same thing; Aim and Met where no aim was set.
type Row struct {
	Name      string  `json:"name"` // api., datapath., controller. or proxy. and what was measured
	Unit      string  `json:"unit"`
	Value     float64 `json:"value"`
	Peer      string  `json:"peer,omitempty"`
	PeerValue float64 `json:"peer_value,omitempty"`
	Ratio     float64 `json:"ratio,omitempty"`     // value over peer_value; of rounds: their ratios' median
	RatioLow  float64 `json:"ratio_low,omitempty"` // and their quartiles
	RatioHigh float64 `json:"ratio_high,omitempty"`
	Aim       string  `json:"aim,omitempty"` // such as "<= 90" or ">= 1.05 x peer"
	Met       *bool   `json:"met,omitempty"`
	Commit    string  `json:"commit"`
	Machine   string  `json:"machine"`
}

// beside sets a peer's value.
func (r Row) beside(peer string, value float64) Row {
	r.Peer, r.PeerValue = peer, value
	if value != 0 {
		r.Ratio = r.Value / value
	}
	return r
}

// atMost sets an upper aim for the value.
func (r Row) atMost(limit float64) Row {
	return r.aimed(fmt.Sprintf("<= %g", limit), r.Value <= limit)
}

// atLeastOfPeer sets a lower aim for the ratio.
func (r Row) atLeastOfPeer(limit float64) Row {
	return r.aimed(fmt.Sprintf(">= %g x peer", limit), r.Ratio >= limit)
}

// atMostOfPeer sets an upper aim for the ratio.
func (r Row) atMostOfPeer(limit float64) Row {
	return r.aimed(fmt.Sprintf("<= %g x peer", limit), r.Ratio <= limit)
}

func (r Row) aimed(aim string, met bool) Row {
	r.Aim, r.Met = aim, &met
	return r
}

// write stamps the rows with commit and machine and writes them as JSON. A row
// that this run did not measure stays as it was, with the commit it was measured
// at: suites can be run one at a time. To start anew, remove the file.
func write(path string, rows []Row) error {
	commit, machine := commit(), machine()
	for i := range rows {
		rows[i].Commit, rows[i].Machine = commit, machine
	}
	before, err := read(path)
	if err != nil {
		return err
	}
	data, err := json.MarshalIndent(merge(before, rows), "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o644)
}

func read(path string) ([]Row, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var rows []Row
	if err := json.Unmarshal(data, &rows); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return rows, nil
}

// merge puts rows in the place of those of the same name.
func merge(before, rows []Row) []Row {
	at := map[string]int{}
	for i, r := range before {
		at[r.Name] = i
	}
	for _, r := range rows {
		if i, ok := at[r.Name]; ok {
			before[i] = r
		} else {
			before = append(before, r)
		}
	}
	return before
}

func print(w io.Writer, rows []Row) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "name\tvalue\tunit\tpeer\tratio\taim\tmet")
	for _, r := range rows {
		met := ""
		if r.Met != nil {
			met = map[bool]string{true: "yes", false: "NO"}[*r.Met]
		}
		peer, ratio := "", ""
		if r.Peer != "" {
			peer, ratio = fmt.Sprintf("%s: %.4g", r.Peer, r.PeerValue), fmt.Sprintf("%.2f", r.Ratio)
		}
		fmt.Fprintf(t, "%s\t%.4g\t%s\t%s\t%s\t%s\t%s\n", r.Name, r.Value, r.Unit, peer, ratio, r.Aim, met)
	}
	t.Flush()
}

// commit is what is measured. The rows of a suite before do not change it.
func commit() string {
	out, err := exec.Command("git", "describe", "--always").Output()
	if err != nil {
		return "unknown"
	}
	name := strings.TrimSpace(string(out))
	if exec.Command("git", "diff", "--quiet", "HEAD", "--", ":/", ":!/bench/results.json").Run() != nil {
		name += "-dirty"
	}
	return name
}

// machine names the processor, the number of them and the kernel.
func machine() string {
	cpu := "unknown processor"
	if data, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.SplitSeq(string(data), "\n") {
			if name, ok := strings.CutPrefix(line, "model name"); ok {
				cpu = strings.TrimLeft(name, "\t :")
				break
			}
		}
	}
	release, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return fmt.Sprintf("%s, %d CPUs, Linux %s", cpu, runtime.NumCPU(), strings.TrimSpace(string(release)))
}
