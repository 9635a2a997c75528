package demo

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"strconv"
	"sync"
	"time"
)

// beat is a line of the long answer: a number that must never skip.
type beat struct {
	seq             int
	pod, node, peer string // peer is the client's address and port as the pod sees them
}

// beatForm is a line of the web server's /hold.
var beatForm = regexp.MustCompile(`^(\d+) held \S+ by pod (\S+) on (\S+), peer (\S+)$`)

func parseBeat(line string) (beat, error) {
	m := beatForm.FindStringSubmatch(line)
	if m == nil {
		return beat{}, fmt.Errorf("the long answer has the line %q", line)
	}
	seq, err := strconv.Atoi(m[1])
	return beat{seq, m[2], m[3], m[4]}, err
}

// held is one HTTP answer that goes on for as long as its connection lives.
type held struct {
	cmd   *exec.Cmd
	first beat

	mu   sync.Mutex // guards what follows, written by the reader
	last beat
	at   time.Time
	err  error
}

// hold opens the connection and waits for its first line.
func (w *walk) hold(ctx context.Context) (*held, error) {
	argv := []string{"fairlead-lab", "exec", "client", "--", "curl", "-sSN", "http://" + w.host + "/hold?interval=200ms"}
	w.say(argv, "&")
	h := &held{cmd: w.lab.Command(ctx, argv...)}
	out, err := h.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := h.cmd.Start(); err != nil {
		return nil, fmt.Errorf("open the long connection: %w", err)
	}
	started := make(chan struct{})
	go h.read(out, started)
	select {
	case <-started:
	case <-time.After(10 * time.Second):
	case <-ctx.Done():
	}
	if _, err := h.beat(); err != nil {
		h.close()
		return nil, err
	}
	return h, nil
}

// read follows the answer line by line; it ends with the connection.
func (h *held) read(out io.Reader, started chan<- struct{}) {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		b, err := parseBeat(lines.Text())
		if h.record(b, err) {
			close(started)
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err == nil {
		h.err = fmt.Errorf("the connection ended after line %d", h.last.seq)
	}
}

// record notes a line and reports whether it was the first.
func (h *held) record(b beat, err error) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.err != nil:
		return false
	case err != nil:
		h.err = err
	case h.at.IsZero():
		h.first = b
	case b.seq != h.last.seq+1 || b.peer != h.first.peer:
		h.err = fmt.Errorf("line %d from %s followed line %d from %s", b.seq, b.peer, h.last.seq, h.last.peer)
	}
	isFirst := h.at.IsZero()
	h.last, h.at = b, time.Now()
	return isFirst
}

// beat returns the newest line, or why there is none.
func (h *held) beat() (beat, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err == nil && h.at.IsZero() {
		return beat{}, fmt.Errorf("no line arrived")
	}
	return h.last, h.err
}

// alive waits until the connection has carried more lines, which proves that it
// still works, and returns how many it has carried in all.
func (h *held) alive(ctx context.Context, w *walk) (int, error) {
	from, err := h.beat()
	if err != nil {
		return 0, &Failure{Expected: "the held connection to go on", Seen: err.Error(), Look: "fairlead-lab logs edge-us-west-2a"}
	}
	var now beat
	err = w.await(ctx, 10*time.Second, Failure{Expected: "5 more lines on the held connection", Look: "fairlead-lab logs edge-us-west-2a"},
		func(context.Context) (string, bool) {
			var err error
			if now, err = h.beat(); err != nil {
				return err.Error(), false
			}
			return fmt.Sprintf("%d more lines", now.seq-from.seq), now.seq >= from.seq+5
		})
	return now.seq, err
}

// close ends the connection from the client's side; a second call does nothing.
func (h *held) close() {
	if h.cmd.ProcessState != nil {
		return
	}
	_ = h.cmd.Process.Kill() // it may have ended by itself
	_ = h.cmd.Wait()         // its exit code is that of the kill
}
