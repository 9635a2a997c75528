package health

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-lb/fairlead/internal/lb"
)

// network is a Prober whose targets answer as the test says; those it does not
// name never answer.
type network struct {
	mu      sync.Mutex
	answers map[netip.AddrPort]Outcome
	asked   map[netip.AddrPort][]time.Duration // since the start
	start   time.Time
	running int
	most    int
}

func newNetwork() *network {
	return &network{answers: map[netip.AddrPort]Outcome{}, asked: map[netip.AddrPort][]time.Duration{}, start: time.Now()}
}

func (n *network) Probe(ctx context.Context, t Target) Result {
	n.mu.Lock()
	n.asked[t.Addr] = append(n.asked[t.Addr], time.Since(n.start))
	n.running++
	n.most = max(n.most, n.running)
	outcome, answers := n.answers[t.Addr]
	n.mu.Unlock()
	if !answers {
		<-ctx.Done()
		outcome = TimedOut
	}
	n.mu.Lock()
	n.running--
	n.mu.Unlock()
	return Result{Outcome: outcome}
}

func (n *network) answer(addr netip.AddrPort, o Outcome) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.answers[addr] = o
}

// running is a checker with the health it has told of.
type running struct {
	*Checker
	net    *network
	mu     sync.Mutex
	health map[lb.TargetKey]lb.HealthState
}

func runChecker(t *testing.T, restored map[lb.TargetKey]lb.TargetHealth) *running {
	r := &running{net: newNetwork(), health: map[lb.TargetKey]lb.HealthState{}}
	r.Checker = NewChecker(Config{
		Prober: r.net, Log: slog.New(slog.DiscardHandler), Restored: restored,
		OnChange: func(changes []lb.TargetHealthReport) {
			r.mu.Lock()
			defer r.mu.Unlock()
			for _, c := range changes {
				r.health[c.Target] = c.Health.State
			}
		},
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); r.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return r
}

func (r *running) want(t *testing.T, key lb.TargetKey, want lb.HealthState) {
	t.Helper()
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	if got := r.health[key]; got != want {
		t.Errorf("after %v: %s is %q, want %q", time.Since(r.net.start), key.ID, got, want)
	}
}

func (r *running) times(addr netip.AddrPort) []time.Duration {
	r.net.mu.Lock()
	defer r.net.mu.Unlock()
	return append([]time.Duration{}, r.net.asked[addr]...)
}

func one(port uint16) (lb.TargetKey, Target) {
	return lb.TargetKey{TargetGroupARN: "web", ID: fmt.Sprintf("i-%d", port), Port: port}, Target{
		Protocol: lb.TCP, Addr: netip.AddrPortFrom(netip.MustParseAddr("198.18.16.16"), port),
		Interval: 10 * time.Second, Timeout: 4 * time.Second, Rules: Rules{HealthyThreshold: 2, UnhealthyThreshold: 2},
	}
}

func TestCheckerAsksAtOnceThenOnItsBeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runChecker(t, nil)
		key, target := one(1)
		r.net.answer(target.Addr, Passed)
		r.Set(map[lb.TargetKey]Target{key: target})
		r.want(t, key, lb.Healthy)
		time.Sleep(time.Minute)
		times := r.times(target.Addr)
		if times[0] != 0 {
			t.Errorf("first check after %v, want at once", times[0])
		}
		if phase := times[1]; phase < 5*time.Second || phase > 10*time.Second {
			t.Errorf("second check after %v, want half to one interval", phase)
		}
		for i := 2; i < len(times); i++ {
			if gap := times[i] - times[i-1]; gap != 10*time.Second {
				t.Errorf("check %d came %v after the one before, want 10s", i, gap)
			}
		}
	})
}

func TestCheckerFollowsTargetDownAndUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runChecker(t, nil)
		key, target := one(1)
		target.Rules.UnhealthyDraining = 12 * time.Second
		r.net.answer(target.Addr, Passed)
		r.Set(map[lb.TargetKey]Target{key: target})
		r.want(t, key, lb.Healthy)
		r.net.answer(target.Addr, Failed)
		time.Sleep(20 * time.Second) // two checks
		r.want(t, key, lb.UnhealthyDraining)
		time.Sleep(12 * time.Second) // the end of draining comes between two checks
		r.want(t, key, lb.Unhealthy)
		r.net.answer(target.Addr, Passed)
		time.Sleep(20 * time.Second)
		r.want(t, key, lb.Healthy)
	})
}

func TestSilentTargetIsAskedOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runChecker(t, nil)
		key, target := one(1)
		target.Interval, target.Timeout = 5*time.Second, 7*time.Second
		r.Set(map[lb.TargetKey]Target{key: target})
		time.Sleep(15 * time.Second)
		r.want(t, key, lb.Unhealthy)
		if r.net.most != 1 {
			t.Errorf("%d checks of one target ran at once", r.net.most)
		}
	})
}

func TestNewQuestionIsAskedAtOnceAndKeepsTheHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runChecker(t, nil)
		key, target := one(1)
		r.net.answer(target.Addr, Passed)
		r.Set(map[lb.TargetKey]Target{key: target})
		r.want(t, key, lb.Healthy)
		time.Sleep(time.Second)
		moved := target
		moved.Addr = netip.AddrPortFrom(target.Addr.Addr(), 99)
		r.net.answer(moved.Addr, Failed)
		r.Set(map[lb.TargetKey]Target{key: moved})
		r.want(t, key, lb.Healthy)
		if diff := cmp.Diff([]time.Duration{time.Second}, r.times(moved.Addr)); diff != "" {
			t.Errorf("times of the new question (-want +got):\n%s", diff)
		}
		time.Sleep(10 * time.Second)
		r.want(t, key, lb.Unhealthy)
	})
}

func TestNewQuestionInterruptsARunningCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runChecker(t, nil)
		key, target := one(1)
		r.Set(map[lb.TargetKey]Target{key: target}) // silent: runs until its timeout
		synctest.Wait()
		other := target
		other.Path = "/other"
		r.net.answer(other.Addr, Passed)
		r.Set(map[lb.TargetKey]Target{key: other})
		r.want(t, key, lb.Healthy)
	})
}

func TestShorterIntervalTakesEffectAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runChecker(t, nil)
		key, target := one(1)
		target.Interval = 5 * time.Minute
		r.net.answer(target.Addr, Passed)
		r.Set(map[lb.TargetKey]Target{key: target})
		synctest.Wait()
		target.Interval = 5 * time.Second
		r.Set(map[lb.TargetKey]Target{key: target})
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if n := len(r.times(target.Addr)); n != 3 {
			t.Errorf("%d checks in 11 s at an interval of 5 s, want 3", n)
		}
	})
}

func TestDeregisteredTargetIsForgottenAndReturnsAsNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runChecker(t, nil)
		key, target := one(1)
		silentKey, silent := one(2)
		r.net.answer(target.Addr, Passed)
		r.Set(map[lb.TargetKey]Target{key: target, silentKey: silent})
		r.want(t, key, lb.Healthy)
		r.Set(nil)
		synctest.Wait()
		if r.running != 0 || len(r.queue) != 0 || len(r.checks) != 0 {
			t.Errorf("%d running, %d queued, %d known after all left", r.running, len(r.queue), len(r.checks))
		}
		r.net.answer(target.Addr, Failed)
		r.Set(map[lb.TargetKey]Target{key: target})
		r.want(t, key, lb.Initial)
	})
}

func TestRestoredHealthGoesOnAndIsCheckedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key, target := one(1)
		r := runChecker(t, map[lb.TargetKey]lb.TargetHealth{key: refused})
		r.net.answer(target.Addr, Passed)
		r.Set(map[lb.TargetKey]Target{key: target})
		r.want(t, key, lb.Unhealthy) // one pass is not enough: it is no new target
		time.Sleep(10 * time.Second)
		r.want(t, key, lb.Healthy)
	})
}

func TestTargetBehindAnotherAddressStartsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runChecker(t, nil)
		key, target := one(1)
		r.net.answer(target.Addr, Passed)
		r.Set(map[lb.TargetKey]Target{key: target})
		r.want(t, key, lb.Healthy)
		target.Addr = netip.MustParseAddrPort("198.18.16.99:1")
		r.Set(map[lb.TargetKey]Target{key: target})
		r.want(t, key, lb.Initial)
	})
}

func TestManyTargetsStaySpreadAndBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runChecker(t, nil)
		targets := map[lb.TargetKey]Target{}
		for port := range uint16(10_000) {
			key, target := one(port + 1)
			targets[key] = target // all silent
		}
		r.Set(targets)
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		r.mu.Lock()
		defer r.mu.Unlock()
		for key, state := range r.health {
			if state != lb.Unhealthy {
				t.Fatalf("%s is %s, want unhealthy", key.ID, state)
			}
		}
		if len(r.health) != len(targets) || r.net.most > maxRunning {
			t.Errorf("%d of %d targets told of, %d checks at once; the bound is %d", len(r.health), len(targets), r.net.most, maxRunning)
		}
	})
}

func TestTargetThatStartsLateIsAdmittedSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runChecker(t, nil)
		key, target := one(1)
		r.net.answer(target.Addr, Failed)
		r.Set(map[lb.TargetKey]Target{key: target})
		time.Sleep(time.Second)
		r.want(t, key, lb.Initial)
		r.net.answer(target.Addr, Passed)
		time.Sleep(time.Second)
		r.want(t, key, lb.Healthy)
	})
}

func TestEarlyChecksCountForNothingWhenTheyFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runChecker(t, nil)
		key, target := one(1)
		r.net.answer(target.Addr, Failed)
		r.Set(map[lb.TargetKey]Target{key: target})
		time.Sleep(4900 * time.Millisecond) // half an interval is the least that the first beat takes
		r.want(t, key, lb.Initial)
		if n := len(r.times(target.Addr)); n < 5 || n > 7 {
			t.Errorf("%d checks of a new target in 4.9 s, want about 6 at 0, 0.1, 0.3, 0.7, 1.5 and 3.1 s", n)
		}
		time.Sleep(5200 * time.Millisecond)
		r.want(t, key, lb.Unhealthy)
		before := len(r.times(target.Addr))
		time.Sleep(time.Minute)
		if n := len(r.times(target.Addr)) - before; n != 6 {
			t.Errorf("%d checks of an unhealthy target in a minute, want 6", n)
		}
	})
}

func TestBlockedCheckIsATimeoutThatIsNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runChecker(t, nil)
		key, target := one(1)
		r.net.answer(target.Addr, Passed)
		r.Set(map[lb.TargetKey]Target{key: target})
		r.want(t, key, lb.Healthy)
		blocked := target
		blocked.Blocked = true
		r.Set(map[lb.TargetKey]Target{key: blocked})
		r.want(t, key, lb.Healthy) // one time-out is not enough
		asked := len(r.times(target.Addr))
		time.Sleep(10 * time.Second)
		r.want(t, key, lb.Unhealthy)
		if got := len(r.times(target.Addr)); got != asked {
			t.Errorf("%d blocked checks were sent", got-asked)
		}
		if got := r.ask(t.Context(), blocked); got.Outcome != TimedOut {
			t.Errorf("a blocked check comes to %v, want TimedOut", got.Outcome)
		}
		r.Set(map[lb.TargetKey]Target{key: target})
		time.Sleep(10 * time.Second) // at once, and on the next beat
		r.want(t, key, lb.Healthy)
	})
}
