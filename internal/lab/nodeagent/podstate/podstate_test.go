package podstate

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func at(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }

// podWith has containers named by role: i… init, s… sidecar, others main.
func podWith(policy corev1.RestartPolicy, names ...string) *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "n", UID: "u", Generation: 3}, Spec: corev1.PodSpec{RestartPolicy: policy}}
	always := corev1.ContainerRestartPolicyAlways
	for _, n := range names {
		c := corev1.Container{Name: n, Image: "nginx"}
		switch n[0] {
		case 's':
			c.RestartPolicy = &always
			pod.Spec.InitContainers = append(pod.Spec.InitContainers, c)
		case 'i':
			pod.Spec.InitContainers = append(pod.Spec.InitContainers, c)
		default:
			pod.Spec.Containers = append(pod.Spec.Containers, c)
		}
	}
	return pod
}

// play applies events to a pod: "NAME+" begins, "NAME-CODE" ends a run at the
// time given, "NAME!" passes its probes.
func play(p Pod, events string) Pod {
	for i, ev := range strings.Fields(events) {
		for j := range p.Containers {
			c := &p.Containers[j]
			rest, ok := strings.CutPrefix(ev, c.Name)
			if !ok {
				continue
			}
			var code int32
			switch {
			case rest == "+":
				*c = c.Begin(fmt.Sprintf("id-%d", i), false, false, at(i))
			case rest == "++": // with probes that have not passed yet
				*c = c.Begin(fmt.Sprintf("id-%d", i), true, true, at(i))
			case rest == "!":
				c.Started, c.Ready = true, true
			default:
				fmt.Sscanf(rest, "-%d", &code)
				*c = c.End(Exit{Code: code, Reason: "Error", Finished: at(i)})
			}
		}
	}
	return p
}

func TestDecide(t *testing.T) {
	const always, onFailure, never = corev1.RestartPolicyAlways, corev1.RestartPolicyOnFailure, corev1.RestartPolicyNever
	for name, test := range map[string]struct {
		policy corev1.RestartPolicy
		names  string
		events string
		change func(*Pod)
		now    int
		want   Decision
	}{
		"all main containers start together":            {policy: always, names: "a b", want: Decision{Start: []int{0, 1}}},
		"nothing starts without a sandbox":              {policy: always, names: "a", change: func(p *Pod) { p.Sandbox = false }},
		"nothing starts while stopping":                 {policy: always, names: "a b", events: "a+", change: func(p *Pod) { p.Stopping = true }},
		"stopped when nothing runs":                     {policy: always, names: "a b", events: "a+ a-0", change: func(p *Pod) { p.Stopping = true }, want: Decision{Done: true}},
		"init containers come first, one by one":        {policy: always, names: "i1 i2 a", want: Decision{Start: []int{0}}},
		"the second init container after the first":     {policy: always, names: "i1 i2 a", events: "i1+ i1-0", want: Decision{Start: []int{1}}},
		"main containers after the last":                {policy: always, names: "i1 a b", events: "i1+ i1-0", want: Decision{Start: []int{1, 2}}},
		"a failed init container is repeated":           {policy: always, names: "i1 a", events: "i1+ i1-1", now: 1, want: Decision{Start: []int{0}}},
		"a failed init container ends a pod that never": {policy: never, names: "i1 a", events: "i1+ i1-1", want: Decision{Done: true}},
		"an init container is not run again later":      {policy: always, names: "i1 a", events: "i1+ i1-0 a+ a-1", now: 3, want: Decision{Start: []int{1}}},
		"a sidecar has to be started before the next":   {policy: always, names: "s1 a", events: "s1++"},
		"a started sidecar lets the next begin":         {policy: always, names: "s1 a", events: "s1++ s1!", want: Decision{Start: []int{1}}},
		"a sidecar that ends is started again":          {policy: never, names: "s1 a", events: "s1+ a+ s1-0", now: 2, want: Decision{Start: []int{0}}},
		"sidecars stop after the main containers":       {policy: never, names: "s1 a", events: "s1+ a+ a-0", want: Decision{Stop: []int{0}}},
		"done when sidecars have stopped too":           {policy: never, names: "s1 a", events: "s1+ a+ a-0 s1-0", want: Decision{Done: true}},
		"the first restart is at once":                  {policy: always, names: "a", events: "a+ a-1", now: 1, want: Decision{Start: []int{0}}},
		"the second restart is after 10 s":              {policy: always, names: "a", events: "a+ a-1 a+ a-1", now: 4, want: Decision{Wake: at(13)}},
		"the second restart comes":                      {policy: always, names: "a", events: "a+ a-1 a+ a-1", now: 13, want: Decision{Start: []int{0}}},
		"the third restart is after 20 s":               {policy: always, names: "a", events: "a+ a-1 a+ a-1 a+ a-1", now: 6, want: Decision{Wake: at(25)}},
		"success ends a pod that restarts on failure":   {policy: onFailure, names: "a", events: "a+ a-0", want: Decision{Done: true}},
		"failure does not":                              {policy: onFailure, names: "a", events: "a+ a-1", now: 1, want: Decision{Start: []int{0}}},
		"one of two that ended is not the end":          {policy: never, names: "a b", events: "a+ b+ a-0"},
	} {
		t.Run(name, func(t *testing.T) {
			p := New(podWith(test.policy, strings.Fields(test.names)...))
			p.Sandbox = true
			p = play(p, test.events)
			if test.change != nil {
				test.change(&p)
			}
			if diff := cmp.Diff(test.want, Decide(p, at(test.now))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// summary is what a status says in short.
type summary struct {
	Phase      corev1.PodPhase
	States     string // of init and main containers
	Conditions string // those that are True
}

func summarize(st corev1.PodStatus) summary {
	s := summary{Phase: st.Phase}
	var states, trues []string
	for _, c := range append(st.InitContainerStatuses, st.ContainerStatuses...) {
		text := c.Name + ":"
		switch {
		case c.State.Running != nil:
			text += "running"
		case c.State.Terminated != nil:
			text += fmt.Sprintf("exit%d", c.State.Terminated.ExitCode)
		case c.State.Waiting != nil:
			text += c.State.Waiting.Reason
		}
		if l := c.LastTerminationState.Terminated; l != nil {
			text += fmt.Sprintf("(was exit%d)", l.ExitCode)
		}
		if c.Ready {
			text += ",ready"
		}
		if c.RestartCount > 0 {
			text += fmt.Sprintf(",%d restarts", c.RestartCount)
		}
		states = append(states, text)
	}
	for _, c := range st.Conditions {
		if c.Status == corev1.ConditionTrue {
			trues = append(trues, string(c.Type))
		}
	}
	s.States, s.Conditions = strings.Join(states, " "), strings.Join(trues, " ")
	return s
}

func TestStatus(t *testing.T) {
	const always, never = corev1.RestartPolicyAlways, corev1.RestartPolicyNever
	const sandbox = "PodReadyToStartContainers"
	for name, test := range map[string]struct {
		policy corev1.RestartPolicy
		names  string
		events string
		change func(*Pod)
		want   summary
	}{
		"new": {always, "i1 a", "", func(p *Pod) { p.Sandbox = false },
			summary{"Pending", "i1:ContainerCreating a:ContainerCreating", ""}},
		"initializing": {always, "i1 a", "i1+", nil,
			summary{"Pending", "i1:running a:PodInitializing", sandbox}},
		"running, not ready": {always, "a", "a++", nil,
			summary{"Running", "a:running", sandbox + " Initialized"}},
		"ready": {always, "i1 a", "i1+ i1-0 a+", nil,
			summary{"Running", "i1:exit0,ready a:running,ready", sandbox + " Initialized ContainersReady Ready"}},
		"one of two ready": {always, "a b", "a+ b++", nil,
			summary{"Running", "a:running,ready b:running", sandbox + " Initialized"}},
		"crashed once, about to run again": {always, "a", "a+ a-2", nil,
			summary{"Running", "a:exit2", sandbox + " Initialized"}},
		"crash loop": {always, "a", "a+ a-2 a+ a-3", nil,
			summary{"Running", "a:CrashLoopBackOff(was exit3),1 restarts", sandbox + " Initialized"}},
		"running again": {always, "a", "a+ a-2 a+", nil,
			summary{"Running", "a:running(was exit2),ready,1 restarts", sandbox + " Initialized ContainersReady Ready"}},
		"succeeded": {never, "a b", "a+ b+ a-0 b-0", nil,
			summary{"Succeeded", "a:exit0 b:exit0", sandbox + " Initialized"}},
		"failed": {never, "a b", "a+ b+ a-0 b-9", nil,
			summary{"Failed", "a:exit0 b:exit9", sandbox + " Initialized"}},
		"stopped by deletion": {always, "a", "a+ a-143", func(p *Pod) { p.Stopping, p.Sandbox = true, false },
			summary{"Failed", "a:exit143", "Initialized"}},
		"stopping, still ready": {always, "a", "a+", func(p *Pod) { p.Stopping = true },
			summary{"Running", "a:running,ready", sandbox + " Initialized ContainersReady Ready"}},
		"image not found": {always, "a", "", func(p *Pod) { p.Containers[0] = p.Containers[0].RefuseImage("no", at(0)) },
			summary{"Pending", "a:ErrImagePull", sandbox + " Initialized"}},
		"image not found again": {always, "a", "", func(p *Pod) {
			p.Containers[0] = p.Containers[0].RefuseImage("no", at(0)).RefuseImage("no", at(10))
		}, summary{"Pending", "a:ImagePullBackOff", sandbox + " Initialized"}},
	} {
		t.Run(name, func(t *testing.T) {
			pod := podWith(test.policy, strings.Fields(test.names)...)
			p := New(pod)
			p.Sandbox = true
			p = play(p, test.events)
			if test.change != nil {
				test.change(&p)
			}
			got := summarize(Status(p, pod, View{Now: at(60), Started: at(0)}))
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestStatusCarriesAddressesAndGeneration(t *testing.T) {
	pod := podWith(corev1.RestartPolicyAlways, "a")
	v4, v6 := netip.MustParseAddr("198.18.17.2"), netip.MustParseAddr("2001:db8:0:1:1::2")
	st := Status(New(pod), pod, View{Now: at(1), Started: at(0), PodIPs: []netip.Addr{v4, v6}, HostIPs: []netip.Addr{v4}})
	if st.PodIP != v4.String() || len(st.PodIPs) != 2 || st.PodIPs[1].IP != v6.String() || st.HostIP != v4.String() || st.ObservedGeneration != 3 || !st.StartTime.Time.Equal(at(0)) {
		t.Errorf("status is %+v", st)
	}
}

func TestReadinessGates(t *testing.T) {
	pod := podWith(corev1.RestartPolicyAlways, "a")
	pod.Spec.ReadinessGates = []corev1.PodReadinessGate{{ConditionType: "x/open"}}
	p := New(pod)
	p.Sandbox = true
	p = play(p, "a+")
	for status, want := range map[corev1.ConditionStatus]bool{corev1.ConditionTrue: true, corev1.ConditionFalse: false, "": false} {
		pod.Status.Conditions = []corev1.PodCondition{{Type: "x/open", Status: status}}
		got := summarize(Status(p, pod, View{Now: at(1)})).Conditions
		if strings.HasSuffix(got, " Ready") != want || !strings.Contains(got, "ContainersReady") {
			t.Errorf("gate %q: conditions %s, want Ready %t", status, got, want)
		}
	}
}

func TestTransitionTimesStayWhileTheStatusStays(t *testing.T) {
	pod := podWith(corev1.RestartPolicyAlways, "a")
	p := New(pod)
	p.Sandbox = true
	pod.Status = Status(p, pod, View{Now: at(1)})
	pod.Status = Status(play(p, "a+"), pod, View{Now: at(2)})
	got := map[corev1.PodConditionType]int{}
	for _, c := range pod.Status.Conditions {
		got[c.Type] = int(c.LastTransitionTime.Sub(start).Seconds())
	}
	want := map[corev1.PodConditionType]int{"PodReadyToStartContainers": 1, "Initialized": 1, "ContainersReady": 2, "Ready": 2}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestMergeLeavesToOthersWhatIsTheirs(t *testing.T) {
	have := corev1.PodStatus{QOSClass: corev1.PodQOSBurstable, Conditions: []corev1.PodCondition{
		{Type: corev1.PodScheduled, Status: corev1.ConditionTrue}, {Type: "x/open", Status: corev1.ConditionTrue}, {Type: corev1.PodReady, Status: corev1.ConditionTrue}}}
	mine := corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{
		{Type: "x/open", Status: corev1.ConditionFalse}, {Type: corev1.PodReady, Status: corev1.ConditionFalse}}}
	want := corev1.PodStatus{Phase: corev1.PodRunning, QOSClass: corev1.PodQOSBurstable, Conditions: []corev1.PodCondition{
		{Type: corev1.PodScheduled, Status: corev1.ConditionTrue}, {Type: "x/open", Status: corev1.ConditionTrue}, {Type: corev1.PodReady, Status: corev1.ConditionFalse}}}
	if diff := cmp.Diff(want, Merge(have, mine)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestRunsOfAnEarlierAgentCount(t *testing.T) {
	pod := podWith(corev1.RestartPolicyAlways, "i1", "a")
	running := corev1.ContainerStatus{Name: "a", RestartCount: 4, ContainerID: "x", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(at(0))}}}
	done := corev1.ContainerStatus{Name: "i1", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}}}
	pod.Status.ContainerStatuses, pod.Status.InitContainerStatuses = []corev1.ContainerStatus{running}, []corev1.ContainerStatus{done}
	p := New(pod)
	p.Sandbox = true
	if got := Decide(p, at(1)).Start; !cmp.Equal(got, []int{0}) {
		t.Errorf("starts %v, want the init container first: its volumes are new", got)
	}
	p = play(p, "i1+ i1-0 a+")
	got := summarize(Status(p, pod, View{Now: at(9)})).States
	if want := "i1:exit0(was exit0),ready,1 restarts a:running(was exit137),ready,5 restarts"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	once := podWith(corev1.RestartPolicyNever, "a")
	once.Status.ContainerStatuses = []corev1.ContainerStatus{running}
	if d := Decide(New(once), at(1)); !d.Done {
		t.Errorf("got %+v, want that a lost container is not run again against its policy", d)
	}
}

func TestBackoffDoublesUpToItsLimitAndForgives(t *testing.T) {
	var b backoff
	var got []time.Duration
	for range 8 {
		var d time.Duration
		b, d = b.next(time.Second)
		got = append(got, d/time.Second)
	}
	if diff := cmp.Diff([]time.Duration{0, 10, 20, 40, 80, 160, 300, 300}, got); diff != "" {
		t.Errorf("delays in seconds (-want +got):\n%s", diff)
	}
	if _, d := b.next(11 * time.Minute); d != 0 {
		t.Errorf("after a long run the delay is %s, want none", d)
	}
}

// TestDecisionsLeadSomewhere plays random pods: a decision never starts what
// runs or ended for good, never starts main containers before init containers
// are through, and a pod that is not done always has something to wait for.
func TestDecisionsLeadSomewhere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		policy := rapid.SampledFrom([]corev1.RestartPolicy{"Always", "OnFailure", "Never"}).Draw(t, "policy")
		names := rapid.SampledFrom([]string{"a", "a b", "i1 a", "i1 i2 a", "s1 a b", "i1 s1 i2 a"}).Draw(t, "containers")
		p := New(podWith(policy, strings.Fields(names)...))
		p.Sandbox = true
		now := start
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			d := Decide(p, now)
			for _, i := range d.Start {
				c := p.Containers[i]
				if c.Phase == Running || c.final() || c.NotBefore.After(now) {
					t.Fatalf("starts %s in phase %v", c.Name, c.Phase)
				}
				if c.Role == Main && !initialized(p) && !initDone(p) {
					t.Fatalf("starts %s before init containers are through", c.Name)
				}
				p.Containers[i] = c.Begin("id", false, false, now)
			}
			if d.Done {
				if anyRunning(p.Containers) {
					t.Fatal("done while something runs")
				}
				return
			}
			if len(d.Start) == 0 && d.Wake.IsZero() && !anyRunning(p.Containers) {
				t.Fatal("waits for nothing")
			}
			now = now.Add(time.Duration(rapid.IntRange(1, 400).Draw(t, "pause")) * time.Second)
			for i, c := range p.Containers {
				if c.Phase == Running && rapid.Bool().Draw(t, "ends") {
					p.Containers[i] = c.End(Exit{Code: rapid.Int32Range(0, 1).Draw(t, "code"), Finished: now})
				}
			}
		}
	})
}
