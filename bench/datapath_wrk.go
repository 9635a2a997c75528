package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/fairlead-lb/fairlead/internal/netlab"
)

// largeObject is what bulk transfers ask for, in bytes.
const largeObject = 32 << 20

// writeLarge puts it where web servers look for it.
func writeLarge(dir string) error {
	return os.WriteFile(filepath.Join(dir, "large"), make([]byte, largeObject), 0o600)
}

// wrk loads a hop from all of its clients at once.
func (s *segment) wrk(ctx context.Context, h hop, l load) (result, error) {
	clients := make([]int, s.clients)
	for i := range clients {
		clients[i] = i
	}
	return s.wrkFrom(ctx, h, l, clients)
}

// wrkFrom loads a hop from some of its clients at once.
func (s *segment) wrkFrom(ctx context.Context, h hop, l load, clients []int) (result, error) {
	path, err := netlab.LookPath("wrk")
	if err != nil {
		return result{}, fmt.Errorf("find wrk: %w; next: scripts/install-packages.sh bench", err)
	}
	script, err := s.wrkScript()
	if err != nil {
		return result{}, err
	}
	said := make([]wrkSaid, len(clients))
	group, ctx := errgroup.WithContext(ctx)
	for i, client := range clients {
		args := append([]string{"-t1", fmt.Sprintf("-c%d", l.connections/len(clients)), fmt.Sprintf("-d%ds", l.seconds), "-s", script}, l.args...)
		cmd := exec.CommandContext(ctx, path, append(args, s.url(h, client, l))...)
		group.Go(func() (err error) {
			said[i], err = s.runWrk(cmd, s.client(h, client))
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return result{}, err
	}
	r := summarize(said)
	if r.megabytes == 0 {
		return r, errors.New("no client got an answer")
	}
	return r, nil
}

func (s *segment) runWrk(cmd *exec.Cmd, namespace string) (wrkSaid, error) {
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := s.launcher.Start(cmd, namespace); err != nil {
		return wrkSaid{}, err
	}
	if err := cmd.Wait(); err != nil {
		return wrkSaid{}, fmt.Errorf("%w: %s", err, out.String())
	}
	return parseWrk(out.String())
}

// wrkScript has wrk say what it knows, in place of some of it rounded: how many
// answers took how long, so that clients can be put together.
func (s *segment) wrkScript() (path string, err error) {
	path = filepath.Join(s.dir, "wrk.lua")
	const script = `function done(summary, latency)
 io.write(string.format("requests %d\nmicroseconds %d\nbytes %d\n", summary.requests, summary.duration, summary.bytes))
 for i = 1, #latency do
  local took, times = latency(i)
  io.write(string.format("took %d %d\n", took, times))
 end
end
`
	return path, os.WriteFile(path, []byte(script), 0o600)
}

// url is what a client asks for: the hop's, when it has one.
func (s *segment) url(h hop, client int, l load) string {
	if strings.Contains(h.address, "://") {
		return h.address
	}
	return "http://" + s.address(h, client) + "/" + l.path
}

// wrkSaid is what one wrk saw.
type wrkSaid struct {
	requests, microseconds, bytes float64
	took                          map[int]int // times, by microseconds
}

// parseWrk reads wrk's output. Errors of sockets and other statuses than 200 are
// errors: what was measured is then something else.
func parseWrk(out string) (wrkSaid, error) {
	said := wrkSaid{took: map[int]int{}}
	numbers := map[string]*float64{"requests": &said.requests, "microseconds": &said.microseconds, "bytes": &said.bytes}
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		if f[0] == "Socket" || f[0] == "Non-2xx" {
			return said, fmt.Errorf("wrk met errors: %s", strings.TrimSpace(line))
		}
		var err error
		if n, ok := numbers[f[0]]; ok {
			*n, err = strconv.ParseFloat(f[1], 64)
		}
		if f[0] == "took" && len(f) == 3 {
			err = said.add(f[1], f[2])
		}
		if err != nil {
			return said, fmt.Errorf("read what wrk says: %q: %w", line, err)
		}
	}
	if said.microseconds == 0 {
		return said, fmt.Errorf("wrk says nothing: %s", out)
	}
	return said, nil
}

func (s wrkSaid) add(took, times string) error {
	t, err := strconv.Atoi(took)
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(times)
	s.took[t] += n
	return err
}
