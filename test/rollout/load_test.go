package rollout_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// loadVariable makes the test's binary a client: it is run again, in the
// network of the lab's client, with what to ask as the variable's value.
const loadVariable = "ROLLOUT_LOAD"

func TestMain(m *testing.M) {
	text := os.Getenv(loadVariable)
	if text == "" {
		os.Exit(m.Run())
	}
	var l load
	if err := json.Unmarshal([]byte(text), &l); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	if err := json.NewEncoder(os.Stdout).Encode(l.run(os.Stdin)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
}

// load is what a client is to ask for.
type load struct {
	Host     string
	Requests int // at least
	Rate     int // a second at most
}

// tally is what became of it.
type tally struct {
	Requests int
	Refused  int // connections; each was made anew, once
	Failed   int
	Failures []string       // the first of them
	Pods     map[string]int // answers by pod
	Waited   time.Duration  // for the slowest answer
}

const (
	workers     = 10
	keepAlive   = 2 // of the workers, whose connections live on
	askTimeout  = 5 * time.Second
	nameTTL     = time.Second // how long an address is used without asking again
	maxFailures = 5
)

// run asks until it has asked enough and its input has ended.
func (l load) run(input io.Reader) tally {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var count atomic.Int64
	ended := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, input) // a pipe that breaks has ended as well
		close(ended)
	}()
	names := &names{host: l.Host}
	results := make([]tally, workers)
	var running sync.WaitGroup
	for w := range workers {
		running.Go(func() {
			c := client(names, w < keepAlive)
			pace := time.NewTicker(time.Second * workers / time.Duration(l.Rate))
			defer pace.Stop()
			for {
				select {
				case <-ended:
					if count.Load() >= int64(l.Requests) {
						return
					}
				default:
				}
				results[w].ask(ctx, c, l.Host)
				count.Add(1)
				<-pace.C
			}
		})
	}
	running.Wait()
	return sum(results)
}

// client asks from a new connection each time, or goes on with one.
func client(names *names, keep bool) *http.Client {
	dialer := net.Dialer{Timeout: askTimeout}
	return &http.Client{Timeout: askTimeout, Transport: &http.Transport{
		DisableKeepAlives: !keep,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			_, port, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			addr, err := names.address(ctx)
			if err != nil {
				return nil, err
			}
			return dialer.DialContext(ctx, network, net.JoinHostPort(addr, port))
		},
	}}
}

// names resolves as clients do, and asks anew now and then. It stays with one
// address for as long as that is among the answers: a client that connects to
// several zones from one source port is the same to a target that sees the
// client's address, on AWS as well.
type names struct {
	host string

	mu     sync.Mutex
	chosen string
	until  time.Time
}

func (n *names) address(ctx context.Context) (string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if now := time.Now(); !now.Before(n.until) {
		found, err := net.DefaultResolver.LookupHost(ctx, n.host)
		if err != nil {
			return "", err
		}
		n.until = now.Add(nameTTL)
		if !slices.Contains(found, n.chosen) {
			n.chosen = found[0]
		}
	}
	return n.chosen, nil
}

func (t *tally) ask(ctx context.Context, c *http.Client, host string) {
	start := time.Now()
	pod, err := get(ctx, c, host)
	if errors.Is(err, syscall.ECONNREFUSED) {
		t.Refused++ // see maxRefused
		pod, err = get(ctx, c, host)
	}
	t.Requests++
	t.Waited = max(t.Waited, time.Since(start))
	if err != nil {
		t.Failed++
		if len(t.Failures) < maxFailures {
			t.Failures = append(t.Failures, fmt.Sprintf("%s: %v", start.Format("15:04:05.000"), err))
		}
		return
	}
	if t.Pods == nil {
		t.Pods = map[string]int{}
	}
	t.Pods[pod]++
}

// get is the name of the pod that answered.
func get(ctx context.Context, c *http.Client, host string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+host+"/?format=json", nil)
	if err != nil {
		return "", err
	}
	resp, err := c.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var answer struct {
		Pod string `json:"pod"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return "", err
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK || answer.Pod == "" {
		return "", errors.New(resp.Status)
	}
	return answer.Pod, nil
}

func sum(all []tally) tally {
	out := tally{Pods: map[string]int{}}
	for _, t := range all {
		out.Requests += t.Requests
		out.Refused += t.Refused
		out.Failed += t.Failed
		out.Failures = append(out.Failures, t.Failures...)
		out.Waited = max(out.Waited, t.Waited)
		for pod, n := range t.Pods {
			out.Pods[pod] += n
		}
	}
	slices.Sort(out.Failures)
	out.Failures = out.Failures[:min(len(out.Failures), maxFailures)]
	return out
}
