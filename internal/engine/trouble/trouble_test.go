package trouble

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fairlead-lb/fairlead/internal/store"
	"github.com/fairlead-lb/fairlead/internal/wire"
)

var create = wire.Call{Service: "elasticloadbalancing", Action: "CreateLoadBalancer"}

func newTrouble(t *testing.T, s Settings) *Trouble {
	t.Helper()
	tr, err := New(s, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// outcome is what a client sees of a call and whether it took effect.
func outcome(tr *Trouble, call wire.Call) string {
	done := false
	err := tr.Around(wire.WithCall(context.Background(), call), func(context.Context) error { done = true; return nil })
	text := "ok"
	if e, ok := errors.AsType[*wire.Error](err); ok {
		text = e.Code
	} else if err != nil {
		text = err.Error()
	}
	if done {
		return text + ", done"
	}
	return text
}

func TestFaults(t *testing.T) {
	for name, test := range map[string]struct {
		fault string
		want  []string
	}{
		"an error before the effect":      {"CreateLoadBalancer error-before", []string{"InternalFailure", "InternalFailure"}},
		"an error after the effect":       {"CreateLoadBalancer error-after code=ServiceUnavailable", []string{"ServiceUnavailable, done"}},
		"a throttled call":                {"CreateLoadBalancer throttle", []string{"Throttling"}},
		"a timeout before the effect":     {"CreateLoadBalancer timeout-before", []string{"no answer is sent"}},
		"a timeout after the effect":      {"CreateLoadBalancer timeout-after", []string{"no answer is sent, done"}},
		"so many calls and no more":       {"CreateLoadBalancer throttle count=2", []string{"Throttling", "Throttling", "ok, done", "ok, done"}},
		"after so many calls":             {"CreateLoadBalancer throttle skip=1 count=1", []string{"ok, done", "Throttling", "ok, done"}},
		"as a script says":                {"CreateLoadBalancer script=pass,throttle,pass,error-after", []string{"ok, done", "Throttling", "ok, done", "InternalFailure, done", "ok, done"}},
		"with certainty":                  {"CreateLoadBalancer throttle probability=1", []string{"Throttling", "Throttling"}},
		"another action":                  {"DeleteLoadBalancer throttle", []string{"ok, done"}},
		"another service":                 {"ec2:CreateLoadBalancer throttle", []string{"ok, done"}},
		"a pattern":                       {"elasticloadbalancing:Create* throttle", []string{"Throttling"}},
		"a pattern that is any action":    {"* throttle", []string{"Throttling"}},
		"a pattern of the wrong spelling": {"createloadbalancer throttle", []string{"ok, done"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // the timeouts pass at once
				f, err := ParseFault(test.fault)
				if err != nil {
					t.Fatal(err)
				}
				tr := newTrouble(t, Settings{Faults: []Fault{f}})
				var got []string
				for range test.want {
					got = append(got, outcome(tr, create))
				}
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Errorf("outcomes (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestHeldClientsThatGiveUpAreLetGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTrouble(t, Settings{Faults: []Fault{{Action: "*", Kind: TimeoutBefore, Hold: Duration(50 * time.Second)}}})
		ctx, cancel := context.WithTimeout(wire.WithCall(context.Background(), create), time.Second)
		defer cancel()
		start := time.Now()
		err := tr.Around(ctx, func(context.Context) error { return nil })
		if !errors.Is(err, wire.ErrNoAnswer) || time.Since(start) != time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
	})
}

func TestTheFirstRuleWithTroubleCountsAndOthersKeepTheirTurn(t *testing.T) {
	tr := newTrouble(t, Settings{Faults: []Fault{
		{Action: "Create*", Script: []Kind{Pass, Throttled}},
		{Action: "CreateLoadBalancer", Kind: ErrorBefore, Count: 1},
	}})
	got := []string{outcome(tr, create), outcome(tr, create), outcome(tr, create)}
	if diff := cmp.Diff([]string{"InternalFailure", "Throttling", "ok, done"}, got); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
}

func TestAnActionsOwnErrorIsNotHiddenByAFaultAfterIt(t *testing.T) {
	tr := newTrouble(t, Settings{Faults: []Fault{{Action: "*", Kind: ErrorAfter}}})
	own := errors.New("own")
	if err := tr.Around(wire.WithCall(context.Background(), create), func(context.Context) error { return own }); !errors.Is(err, own) {
		t.Errorf("got %v", err)
	}
}

func TestTheAdminServiceHasNoTrouble(t *testing.T) {
	tr := newTrouble(t, Settings{Throttle: true, Faults: []Fault{{Action: "*", Kind: ErrorBefore}}})
	if got := outcome(tr, wire.Call{Service: AdminService, Action: "PutTrouble"}); got != "ok, done" {
		t.Errorf("got %q", got)
	}
}

func TestNewSettingsReplaceTheOldOnesWhole(t *testing.T) {
	tr := newTrouble(t, Settings{Throttle: true, Faults: []Fault{{Action: "*", Kind: ErrorBefore}}})
	if err := tr.Set(Settings{Faults: []Fault{{}}}); err == nil || outcome(tr, create) != "InternalFailure" {
		t.Errorf("settings with problems were taken (%v)", err)
	}
	if err := tr.Set(Settings{}); err != nil || outcome(tr, create) != "ok, done" {
		t.Errorf("trouble did not end (%v)", err)
	}
}

func TestBucketsLetThroughWhatAWSPublishes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTrouble(t, Settings{Throttle: true, Rates: []Rate{{Action: "sts:*", Burst: 1, PerSecond: 1}}})
		through := func(action string, calls int) (n int) {
			action, version, _ := strings.Cut(action, "@")
			service, name, _ := strings.Cut(action, ":")
			for range calls {
				if outcome(tr, wire.Call{Service: service, Version: version, Action: name}) == "ok, done" {
					n++
				}
			}
			return n
		}
		for _, step := range []struct {
			action      string
			calls, want int
		}{
			{"elasticloadbalancing:DescribeLoadBalancers", 50, 40},
			{"elasticloadbalancing:DescribeListeners", 5, 0},                  // shares the bucket
			{"elasticloadbalancing:DescribeLoadBalancers@2012-06-01", 50, 40}, // the other version has its own
			{"elasticloadbalancing:RegisterTargets", 50, 20},
			{"elasticloadbalancing:CreateLoadBalancer", 50, 10},
			{"elasticloadbalancing:CreateListener", 50, 20},
			{"ec2:DescribeVpcs", 200, 100},
			{"ec2:DescribeSubnets", 200, 100}, // has its own
			{"ec2:CreateVpc", 60, 50},
			{"sts:GetCallerIdentity", 5, 1},
			{"acm:ListCertificates", 500, 500}, // no rate is known
		} {
			if got := through(step.action, step.calls); got != step.want {
				t.Errorf("%s: %d of %d calls came through, want %d", step.action, got, step.calls, step.want)
			}
		}
		time.Sleep(2 * time.Second)
		if got := through("elasticloadbalancing:DescribeListeners", 50); got != 20 {
			t.Errorf("after 2 s %d calls came through, want 20", got)
		}
	})
}

func TestABucketNeverLetsThroughMoreThanBurstAndRefill(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := Rate{Burst: float64(rapid.IntRange(1, 20).Draw(t, "burst")), PerSecond: rapid.Float64Range(0.1, 50).Draw(t, "rate")}
		start := time.Unix(1_000_000, 0)
		now, passed := start, 0
		var b bucket
		for _, ms := range rapid.SliceOf(rapid.IntRange(0, 2000)).Draw(t, "gaps") {
			now = now.Add(time.Duration(ms) * time.Millisecond)
			var ok bool
			if b, ok = b.take(r, now); ok {
				passed++
			}
			if limit := r.Burst + now.Sub(start).Seconds()*r.PerSecond + 1e-6; float64(passed) > limit {
				t.Fatalf("%d calls passed in %v, more than %v", passed, now.Sub(start), limit)
			}
		}
	})
}

func TestSettingsAreRefusedWithAllTheirProblems(t *testing.T) {
	s := Settings{
		ReadLag: -1, Provisioning: Duration(2 * time.Hour), Rates: []Rate{{}},
		Faults: []Fault{{Kind: Throttled}, {Action: "x"}, {Action: "[", Kind: "explode"}, {Action: "x", Script: []Kind{Pass}, Count: 1}, {Action: "x", Kind: Pass, Probability: 2}, {Action: "x", Kind: Pass, Hold: Duration(time.Hour)}},
	}
	err := s.Validate()
	if err == nil {
		t.Fatal("they were accepted")
	}
	for _, want := range []string{"readLag", "provisioning", "rates[0]", "faults[0].action", "faults[1] needs", `"explode"`, "faults[2].action", "faults[3] has a script", "faults[4]", "faults[5].hold"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got\n%v\nwant it to name %s", err, want)
		}
	}
	for _, text := range []string{"", "CreateVpc", "CreateVpc explode", "CreateVpc throttle count=many", "CreateVpc throttle colour=red", "CreateVpc script=pass,explode", "CreateVpc script=pass,,throttle", "CreateVpc throttle probability=NaN"} {
		if _, err := ParseFault(text); err == nil || text != "" && !strings.Contains(err.Error(), "CreateVpc") {
			t.Errorf("ParseFault(%q): %v", text, err)
		}
	}
}

func TestSettingsKeepTheirMeaningAsJSON(t *testing.T) {
	s := Settings{ReadLag: Duration(1500 * time.Millisecond), Throttle: true, Faults: []Fault{{Action: "*", Script: []Kind{Pass, Throttled}, Hold: Duration(time.Second)}}}
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var back Settings
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(s, back); diff != "" || !strings.Contains(string(text), `"readLag":"1.5s"`) {
		t.Errorf("%s (-want +got):\n%s", text, diff)
	}
}

func TestReadsSeeTheRevisionOfThen(t *testing.T) {
	schema := store.NewSchema()
	words := store.NewTable(schema, "words", func(s string) string { return s })
	disk, err := store.OpenFile(filepath.Join(t.TempDir(), "db"))
	if err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(schema, disk)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	start := time.Unix(1_000_000, 0)
	now := start
	tr, err := New(Settings{ReadLag: Duration(10 * time.Second)}, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	lag := NewLag(db, tr)
	remember := func() { lag.remember(moment{now, db.Current()}, 10*time.Second) }
	remember()
	for i := range 30 { // a word every second
		now = start.Add(time.Duration(i+1) * time.Second)
		if err := db.Update(func(tx *store.Tx) error { words.Put(tx, fmt.Sprintf("%02d", i)); return nil }); err != nil {
			t.Fatal(err)
		}
		remember()
	}
	if got := words.Len(lag.Current()); got != 20 {
		t.Errorf("a read sees %d words, want the 20 that are 10 s old", got)
	}
	now = now.Add(10 * time.Second)
	if got := words.Len(lag.Current()); got != 30 {
		t.Errorf("a read 10 s later sees %d words, want 30", got)
	}
	if err := tr.Set(Settings{}); err != nil {
		t.Fatal(err)
	}
	if lag.Current() != db.Current() {
		t.Error("a read lags without being told to")
	}
}

func TestRememberedRevisionsAreBounded(t *testing.T) {
	const lag = 10 * time.Second
	var history []moment
	now := time.Unix(1_000_000, 0)
	for range 100_000 {
		now = now.Add(time.Millisecond)
		history = remembered(history, moment{now, new(store.Revision)}, lag)
	}
	if len(history) > 2*resolution+2 {
		t.Errorf("%d revisions are kept", len(history))
	}
	if oldest := now.Sub(history[0].at); oldest < lag {
		t.Errorf("the oldest is %v old, too young for a read that lags %v", oldest, lag)
	}
}
