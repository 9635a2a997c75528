package lab

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

// event is what a supervisor tells while its lab comes up, one JSON object a
// line.
type event struct {
	Kind      string `json:"kind"`
	Step      string `json:"step,omitempty"`      // begin, end
	Error     string `json:"error,omitempty"`     // failed
	Component string `json:"component,omitempty"` // failed: whose log tells more
}

// Kinds of events. After up or failed there are no more.
const (
	begin  = "begin"
	end    = "end"
	up     = "up"
	failed = "failed"
)

// steps shows what is being done: on a terminal with a line that changes, and
// otherwise with one line for each finished step. Use newSteps, and close it.
type steps struct {
	out  io.Writer
	tty  bool
	stop chan struct{}
	wg   sync.WaitGroup

	mu      sync.Mutex
	running []string
	since   map[string]time.Time
	frame   int
}

const frameTime = 100 * time.Millisecond

func newSteps(out io.Writer) *steps {
	s := &steps{out: out, stop: make(chan struct{}), since: map[string]time.Time{}}
	if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		s.tty = true
		s.wg.Go(s.spin)
	}
	return s
}

func (s *steps) spin() {
	ticker := time.NewTicker(frameTime)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			s.mu.Lock()
			s.draw()
			s.mu.Unlock()
		case <-s.stop:
			return
		}
	}
}

// maxShown keeps the changing line on one line.
const maxShown = 70

// draw shows the running steps. The caller holds mu.
func (s *steps) draw() {
	if !s.tty || len(s.running) == 0 {
		return
	}
	s.frame++
	text := []rune(strings.Join(s.running, ", "))
	if len(text) > maxShown {
		text = append(text[:maxShown-1], '…')
	}
	fmt.Fprintf(s.out, "\r\033[K %c %s", []rune("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")[s.frame%10], string(text))
}

func (s *steps) erase() {
	if s.tty {
		fmt.Fprint(s.out, "\r\033[K")
	}
}

func (s *steps) begin(step string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, runs := s.since[step]; runs {
		return
	}
	s.running, s.since[step] = append(s.running, step), time.Now()
	s.draw()
}

func (s *steps) end(step string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	took := time.Since(s.since[step])
	delete(s.since, step)
	s.running = slices.DeleteFunc(s.running, func(r string) bool { return r == step })
	s.erase()
	fmt.Fprintf(s.out, " ✓ %s (%.1f s)\n", step, took.Seconds())
	s.draw()
}

// do shows f as a step.
func (s *steps) do(step string, f func() error) error {
	s.begin(step)
	err := f()
	if err == nil {
		s.end(step)
	}
	return err
}

// close ends the changing line. It may be called twice.
func (s *steps) close() {
	s.mu.Lock()
	select {
	case <-s.stop:
	default:
		close(s.stop)
	}
	s.running = nil
	s.erase()
	s.mu.Unlock()
	s.wg.Wait()
}
