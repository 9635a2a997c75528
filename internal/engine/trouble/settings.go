package trouble

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Settings are all trouble that can be had. The zero value is none.
type Settings struct {
	Provisioning   Duration `json:"provisioning,omitzero"`   // how long a new load balancer is not active
	Registration   Duration `json:"registration,omitzero"`   // how long a new target is only being registered
	Deregistration Duration `json:"deregistration,omitzero"` // how much longer a target drains than its group says
	ReadLag        Duration `json:"readLag,omitzero"`        // how old what reads see is
	Throttle       bool     `json:"throttle,omitempty"`      // by Rates and AWS's own
	Rates          []Rate   `json:"rates,omitempty"`         // count before AWS's; the first that matches a call is its own
	Faults         []Fault  `json:"faults,omitempty"`        // the first that decides on trouble counts
}

// Duration is a time.Duration that is written as 1m30s.
type Duration time.Duration

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	*d = Duration(parsed)
	return err
}

// Kind is what happens to a call.
type Kind string

// The kinds of trouble.
const (
	Pass          Kind = "pass"
	Throttled     Kind = "throttle"       // as if there had been too many
	ErrorBefore   Kind = "error-before"   // without any effect
	ErrorAfter    Kind = "error-after"    // although it took effect
	TimeoutBefore Kind = "timeout-before" // no answer and no effect
	TimeoutAfter  Kind = "timeout-after"  // no answer although it took effect
)

var kinds = []Kind{Pass, Throttled, ErrorBefore, ErrorAfter, TimeoutBefore, TimeoutAfter}

// Fault is a rule that gives calls of one action trouble: all of them, or as
// Skip, Count and Probability say, or one after the other as Script says.
type Fault struct {
	Action      string   `json:"action"`                // such as CreateLoadBalancer, ec2:Describe* or *
	Kind        Kind     `json:"kind,omitempty"`        // unless there is a Script
	Skip        int      `json:"skip,omitempty"`        // calls that pass first
	Count       int      `json:"count,omitempty"`       // calls that have trouble at most; 0: no limit
	Probability float64  `json:"probability,omitempty"` // of trouble; 0: always
	Script      []Kind   `json:"script,omitempty"`      // a kind for each call; later ones pass
	Code        string   `json:"code,omitempty"`        // of the error; InternalFailure when empty
	Message     string   `json:"message,omitempty"`     // of the error
	Hold        Duration `json:"hold,omitzero"`         // how long a client waits in vain at most; 25s when zero
}

// maxSettings bounds rules and rates: each is looked at for every call.
const maxSettings = 100

// maxDelay bounds all durations.
const maxDelay = Duration(time.Hour)

// Validate returns all problems, each naming field, value and what is valid.
func (s Settings) Validate() error {
	var problems []error
	problem := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	for name, d := range map[string]Duration{
		"provisioning": s.Provisioning, "registration": s.Registration, "deregistration": s.Deregistration, "readLag": s.ReadLag,
	} {
		if d < 0 || d > maxDelay {
			problem("%s is %s; valid is 0s to %s", name, time.Duration(d), time.Duration(maxDelay))
		}
	}
	if len(s.Faults) > maxSettings || len(s.Rates) > maxSettings {
		problem("there are %d faults and %d rates; valid is up to %d of each", len(s.Faults), len(s.Rates), maxSettings)
	}
	for i, f := range s.Faults {
		f.validate(fmt.Sprintf("faults[%d]", i), problem)
	}
	for i, r := range s.Rates {
		if r.Action == "" || r.Burst < 1 || r.PerSecond <= 0 {
			problem("rates[%d] needs an action, a burst of at least 1 and perSecond above 0", i)
		}
	}
	slices.SortFunc(problems, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(problems...)
}

func (f Fault) validate(at string, problem func(string, ...any)) {
	if f.Action == "" {
		problem("%s.action is missing; valid is an action such as CreateLoadBalancer, ec2:Describe* or *", at)
	}
	if _, err := path.Match(f.Action, ""); err != nil {
		problem("%s.action %q is no pattern: a bracket is not closed", at, f.Action)
	}
	if (f.Kind == "") == (len(f.Script) == 0) {
		problem("%s needs exactly one of kind and script", at)
	}
	all := f.Script
	if f.Kind != "" {
		all = append(slices.Clone(all), f.Kind)
	}
	for _, k := range all {
		if !slices.Contains(kinds, k) {
			problem("%s has the kind %q; valid are %v", at, k, kinds)
		}
	}
	if len(f.Script) > 0 && (f.Skip != 0 || f.Count != 0 || f.Probability != 0) {
		problem("%s has a script, which leaves nothing for skip, count and probability to say", at)
	}
	if likely := f.Probability >= 0 && f.Probability <= 1; f.Skip < 0 || f.Count < 0 || !likely { // NaN is neither
		problem("%s: skip and count must not be negative, and the probability is 0 to 1", at)
	}
	if f.Hold < 0 || f.Hold > maxHold {
		problem("%s.hold is %s; valid is 0s to %s", at, time.Duration(f.Hold), time.Duration(maxHold))
	}
}

// ParseFault reads a rule as people write it on a command line: an action, a
// kind, and key=value pairs, such as "CreateLoadBalancer error-after count=2"
// or "RegisterTargets script=pass,throttle".
func ParseFault(text string) (Fault, error) {
	words := strings.Fields(text)
	if len(words) < 2 {
		return Fault{}, fmt.Errorf("fault %q: want an action and a kind, such as \"CreateLoadBalancer error-after count=2\"", text)
	}
	f := Fault{Action: words[0]}
	for _, w := range words[1:] {
		key, value, isPair := strings.Cut(w, "=")
		if !isPair {
			f.Kind = Kind(w)
			continue
		}
		if err := f.set(key, value); err != nil {
			return f, fmt.Errorf("fault %q: %s: %w", text, key, err)
		}
	}
	if err := (Settings{Faults: []Fault{f}}).Validate(); err != nil {
		return f, fmt.Errorf("fault %q: %w", text, err)
	}
	return f, nil
}

func (f *Fault) set(key, value string) (err error) {
	switch key {
	case "code":
		f.Code = value
	case "skip":
		f.Skip, err = strconv.Atoi(value)
	case "count":
		f.Count, err = strconv.Atoi(value)
	case "probability":
		f.Probability, err = strconv.ParseFloat(value, 64)
	case "hold":
		err = f.Hold.UnmarshalText([]byte(value))
	case "script":
		for k := range strings.SplitSeq(value, ",") {
			f.Script = append(f.Script, Kind(k))
		}
	default:
		err = errors.New("is not known; valid are code, skip, count, probability, hold and script")
	}
	return err
}
