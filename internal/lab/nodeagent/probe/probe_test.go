package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"pgregory.net/rapid"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func TestRulesHaveTheDefaultsOfTheAPI(t *testing.T) {
	want := Rules{Period: 10 * time.Second, Timeout: time.Second, SuccessThreshold: 1, FailureThreshold: 3}
	if diff := cmp.Diff(want, RulesOf(&corev1.Probe{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestVerdicts(t *testing.T) {
	for name, test := range map[string]struct {
		success, failure int32
		results          string // of probes: + passed, - failed
		want             string // verdict after each: ? pending, + passing, - failing
	}{
		"one success passes":                 {1, 3, "+", "+"},
		"three failures in a row fail":       {1, 3, "---", "??-"},
		"a success in between starts over":   {1, 3, "--+--", "??+++"},
		"a passing probe survives a failure": {1, 2, "+-+--", "++++-"},
		"it takes as many successes as said": {2, 1, "-+-++", "----+"},
		"failing stays until the threshold":  {2, 2, "--+-++", "?----+"},
	} {
		t.Run(name, func(t *testing.T) {
			r := Rules{Period: time.Second, SuccessThreshold: test.success, FailureThreshold: test.failure}
			s := Start(r, time.Time{})
			got := ""
			for i, c := range test.results {
				s = s.Observe(r, c == '+', time.Time{}.Add(time.Duration(i)*time.Second))
				got += string("?+-"[s.Verdict])
			}
			if got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

// TestVerdictsChangeOnlyAtTheirThreshold looks at random results: a verdict is
// always that of a row of results as long as its threshold says.
func TestVerdictsChangeOnlyAtTheirThreshold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := Rules{
			InitialDelay: 3 * time.Second, Period: 7 * time.Second,
			SuccessThreshold: rapid.Int32Range(1, 4).Draw(t, "success"), FailureThreshold: rapid.Int32Range(1, 4).Draw(t, "failure"),
		}
		now := time.Unix(1000, 0)
		s := Start(r, now)
		if !s.Next.Equal(now.Add(r.InitialDelay)) {
			t.Fatalf("first probe at %s", s.Next)
		}
		results := rapid.SliceOfN(rapid.Bool(), 1, 40).Draw(t, "results")
		for i, ok := range results {
			before := s.Verdict
			s = s.Observe(r, ok, now)
			if !s.Next.Equal(now.Add(r.Period)) {
				t.Fatalf("next probe at %s", s.Next)
			}
			if s.Verdict == before {
				continue
			}
			need, verdict := int(r.FailureThreshold), Failing
			if ok {
				need, verdict = int(r.SuccessThreshold), Passing
			}
			if s.Verdict != verdict || i+1 < need {
				t.Fatalf("verdict %v after %v", s.Verdict, results[:i+1])
			}
			for _, earlier := range results[i+1-need : i+1] {
				if earlier != ok {
					t.Fatalf("verdict changed to %v after %v", s.Verdict, results[:i+1])
				}
			}
		}
	})
}

func port(t *testing.T, addr string) int32 {
	t.Helper()
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	return int32(ap.Port())
}

func TestHTTP(t *testing.T) {
	mux := http.NewServeMux()
	answer := func(path string, status int) {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
	}
	answer("/200", 200)
	answer("/399", 399)
	answer("/400", 400)
	answer("/503", 503)
	mux.HandleFunc("/header", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-A") != "1" || r.Host != "example.com" || r.URL.RawQuery != "q=2" {
			w.WriteHeader(400)
		}
	})
	mux.Handle("/to-503", http.RedirectHandler("/503", http.StatusFound))
	mux.Handle("/away", http.RedirectHandler("http://192.0.2.1/", http.StatusFound))
	mux.Handle("/loop", http.RedirectHandler("/loop", http.StatusFound))
	mux.HandleFunc("/slow", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	srv := httptest.NewServer(mux)
	defer srv.Close()
	target := Target{Host: "127.0.0.1", Ports: []corev1.ContainerPort{{Name: "web", ContainerPort: port(t, srv.Listener.Addr().String())}}}
	for name, test := range map[string]struct {
		get corev1.HTTPGetAction
		ok  bool
	}{
		"a status below 400 passes":         {corev1.HTTPGetAction{Path: "/399"}, true},
		"a status from 400 fails":           {corev1.HTTPGetAction{Path: "/400"}, false},
		"headers, host and query are sent":  {corev1.HTTPGetAction{Path: "/header?q=2", HTTPHeaders: []corev1.HTTPHeader{{Name: "X-A", Value: "1"}, {Name: "host", Value: "example.com"}}}, true},
		"a redirect is followed":            {corev1.HTTPGetAction{Path: "/to-503"}, false},
		"a redirect elsewhere is a success": {corev1.HTTPGetAction{Path: "/away"}, true},
		"redirects end":                     {corev1.HTTPGetAction{Path: "/loop"}, false},
		"no answer in time fails":           {corev1.HTTPGetAction{Path: "/slow"}, false},
		"another host than the pod's":       {corev1.HTTPGetAction{Path: "/200", Host: "localhost"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			test.get.Port = intstr.FromString("web")
			patience := time.Minute
			if test.get.Path == "/slow" {
				patience = 50 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			if err := Run(ctx, corev1.ProbeHandler{HTTPGet: &test.get}, target); (err == nil) != test.ok {
				t.Errorf("error %v, want success %t", err, test.ok)
			}
		})
	}
	err := Run(t.Context(), corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Port: intstr.FromString("none")}}, target)
	if err == nil || !strings.Contains(err.Error(), `no port named "none"`) {
		t.Errorf("error %v, want one that names the port", err)
	}
}

func TestTCPAndGRPC(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv, status := grpc.NewServer(), health.NewServer()
	status.SetServingStatus("down", healthpb.HealthCheckResponse_NOT_SERVING)
	healthpb.RegisterHealthServer(srv, status)
	go func() { _ = srv.Serve(l) }()
	defer srv.Stop()
	p, down := port(t, l.Addr().String()), "down"
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	target := Target{Host: "127.0.0.1"}
	for name, test := range map[string]struct {
		h  corev1.ProbeHandler
		ok bool
	}{
		"a port that listens":     {corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(p)}}, true},
		"a port that does not":    {corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(1)}}, false},
		"a service that serves":   {corev1.ProbeHandler{GRPC: &corev1.GRPCAction{Port: p}}, true},
		"a service that does not": {corev1.ProbeHandler{GRPC: &corev1.GRPCAction{Port: p, Service: &down}}, false},
		"a probe without handler": {corev1.ProbeHandler{}, false},
	} {
		if err := Run(ctx, test.h, target); (err == nil) != test.ok {
			t.Errorf("%s: error %v, want success %t", name, err, test.ok)
		}
	}
}

func TestExec(t *testing.T) {
	for name, test := range map[string]struct {
		code int
		err  error
		want string
	}{
		"exit code 0 passes":  {0, nil, ""},
		"another code fails":  {3, nil, "exited with code 3: its words"},
		"a timeout is named":  {0, context.DeadlineExceeded, "timed out"},
		"other errors go out": {0, errors.New("gone"), "gone"},
	} {
		target := Target{Exec: func(context.Context, []string) (int, string, error) { return test.code, "its words\n", test.err }}
		err := Run(t.Context(), corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"x"}}}, target)
		if got := fmt.Sprint(err); (err == nil) != (test.want == "") || !strings.Contains(got, test.want) {
			t.Errorf("%s: error %v, want %q", name, err, test.want)
		}
	}
}
