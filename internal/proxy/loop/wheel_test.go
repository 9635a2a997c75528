package loop

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// alarm is a timer that remembers when it went off.
type alarm struct {
	timer
	wheel *wheel
	at    time.Duration // for which it was set; 0: it is not
	now   *time.Duration
	t     *rapid.T
}

func (a *alarm) timeUp() {
	if a.at == 0 || *a.now < a.at {
		a.t.Fatalf("a timer for %v goes off at %v", a.at, *a.now)
	}
	a.at = 0
}

// Timers go off neither early nor more than a tick late, and whoever sleeps for
// as long as until says misses none.
func TestTimersGoOffInTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, now := newWheel(), time.Duration(0)
		alarms := make([]*alarm, 5)
		for i := range alarms {
			alarms[i] = &alarm{wheel: w, now: &now, t: t}
			alarms[i].of = alarms[i]
		}
		for range rapid.IntRange(1, 60).Draw(t, "acts") {
			a := alarms[rapid.IntRange(0, len(alarms)-1).Draw(t, "timer")]
			switch rapid.IntRange(0, 3).Draw(t, "act") {
			case 0:
				a.at = now + time.Duration(rapid.IntRange(1, 200_000).Draw(t, "ms"))*time.Millisecond
				w.set(&a.timer, a.at)
			case 1:
				a.at = 0
				w.stop(&a.timer)
			case 2:
				now += time.Duration(rapid.IntRange(0, 100_000).Draw(t, "ms")) * time.Millisecond
				w.advance(now)
			case 3:
				if sleep := w.until(now); sleep >= 0 {
					now += sleep
					w.advance(now)
				}
			}
			checkAlarms(t, alarms, now)
		}
	})
}

func checkAlarms(t *rapid.T, alarms []*alarm, now time.Duration) {
	for _, a := range alarms {
		if a.at == 0 {
			continue
		}
		if a.next == nil {
			t.Fatalf("a timer for %v is not in the wheel", a.at)
		}
		if sleep := a.wheel.until(now); sleep < 0 || now+sleep > max(a.at, now)+tick {
			t.Fatalf("at %v a timer is set for %v, and the next look is in %v", now, a.at, sleep)
		}
	}
}

func TestAnEmptyWheelLetsSleepForEver(t *testing.T) {
	if got := newWheel().until(time.Hour); got >= 0 {
		t.Errorf("sleep for %v, want for ever", got)
	}
}
