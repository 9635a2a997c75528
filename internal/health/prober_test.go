package health

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-lb/fairlead/internal/lb"
)

// A real web server whose paths are the cases.
func target(t *testing.T, protocol lb.Protocol) (Target, <-chan *http.Request) {
	t.Helper()
	requests := make(chan *http.Request, 1)
	mux := http.NewServeMux()
	mux.HandleFunc("/ok", func(_ http.ResponseWriter, r *http.Request) { requests <- r })
	mux.HandleFunc("/busy", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/busy", http.StatusFound) })
	mux.HandleFunc("/silent", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("/endless", func(w http.ResponseWriter, _ *http.Request) {
		for err := error(nil); err == nil; {
			_, err = w.Write(make([]byte, 1<<16))
		}
	})
	mux.HandleFunc("/hangup", func(w http.ResponseWriter, _ *http.Request) {
		conn, _, _ := http.NewResponseController(w).Hijack()
		conn.Close()
	})
	server := httptest.NewUnstartedServer(mux)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	if protocol == lb.HTTPS {
		server.TLS = &tls.Config{}
		server.StartTLS()
	} else {
		server.Start()
	}
	t.Cleanup(server.Close)
	return Target{
		Protocol: protocol, Addr: netip.MustParseAddrPort(server.Listener.Addr().String()),
		Host: "198.18.16.200:80", Path: "/ok", Matcher: DefaultMatcher,
	}, requests
}

func probe(t *testing.T, p Prober, target Target, timeout time.Duration) Result {
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	r := p.Probe(ctx, target)
	r.Err = nil
	return r
}

const plenty = time.Minute // never reached when all is well

func TestHTTPProbes(t *testing.T) {
	cases := map[string]struct {
		path, matcher string
		want          Result
	}{
		"a code in the matcher passes":      {"/ok", "200-399", Result{Outcome: Passed}},
		"a code outside is a mismatch":      {"/busy", "200-399", Result{Outcome: Mismatched, Code: 503}},
		"the matcher decides, not the code": {"/busy", "503", Result{Outcome: Passed}},
		"a redirect is not followed":        {"/moved", "302", Result{Outcome: Passed}},
		"an endless body is cut":            {"/endless", "200", Result{Outcome: Passed}},
		"a closed connection is a failure":  {"/hangup", "200", Result{Outcome: Failed}},
		"a query is sent":                   {"/ok?deep=1", "200", Result{Outcome: Passed}},
	}
	for _, protocol := range []lb.Protocol{lb.HTTP, lb.HTTPS} {
		for name, c := range cases {
			t.Run(string(protocol)+" "+name, func(t *testing.T) {
				target, _ := target(t, protocol)
				target.Path, target.Matcher = c.path, c.matcher
				if diff := cmp.Diff(c.want, probe(t, NetProber{}, target, plenty)); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		}
	}
}

func TestProbeOfSilentTargetTimesOut(t *testing.T) {
	silent, _ := target(t, lb.HTTP)
	silent.Path = "/silent"
	if got := probe(t, NetProber{}, silent, 50*time.Millisecond); got.Outcome != TimedOut {
		t.Errorf("HTTP outcome = %v, want TimedOut", got.Outcome)
	}
	silent.Protocol = lb.HTTPS // the server speaks no TLS and hangs up: not a timeout
	if got := probe(t, NetProber{}, silent, plenty); got.Outcome != Failed {
		t.Errorf("TLS outcome = %v, want Failed", got.Outcome)
	}
}

func TestSSLProbesWantAHandshake(t *testing.T) {
	secure, _ := target(t, lb.HTTPS)
	plain, _ := target(t, lb.HTTP)
	for name, c := range map[string]struct {
		addr netip.AddrPort
		want Outcome
	}{
		"a server with any certificate passes": {secure.Addr, Passed},
		"a server without TLS fails":           {plain.Addr, Failed},
	} {
		t.Run(name, func(t *testing.T) {
			if got := probe(t, NetProber{}, Target{Protocol: lb.SSL, Addr: c.addr}, plenty); got.Outcome != c.want {
				t.Errorf("outcome = %v, want %v", got.Outcome, c.want)
			}
		})
	}
}

func TestRequestIsTheOneOfAWS(t *testing.T) {
	target, requests := target(t, lb.HTTP)
	probe(t, NetProber{}, target, plenty)
	r := <-requests
	got := map[string]any{"method": r.Method, "host": r.Host, "agent": r.UserAgent(), "close": r.Close, "proto": r.Proto}
	want := map[string]any{"method": "GET", "host": "198.18.16.200:80", "agent": "ELB-HealthChecker/2.0", "close": true, "proto": "HTTP/1.1"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTCPProbes(t *testing.T) {
	for _, loopback := range []string{"127.0.0.1:0", "[::1]:0"} {
		ln, err := net.Listen("tcp", loopback)
		if err != nil {
			t.Fatal(err)
		}
		target := Target{Protocol: lb.TCP, Addr: netip.MustParseAddrPort(ln.Addr().String())}
		if got := probe(t, NetProber{}, target, plenty); got.Outcome != Passed {
			t.Errorf("%s: outcome = %v, want Passed", loopback, got.Outcome)
		}
		ln.Close()
		if got := probe(t, NetProber{}, target, plenty); got.Outcome != Failed {
			t.Errorf("%s closed: outcome = %v, want Failed", loopback, got.Outcome)
		}
	}
}

func TestProbesComeFromTheSourceAddress(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	target := Target{Protocol: lb.TCP, Addr: netip.MustParseAddrPort(ln.Addr().String())}
	p := NetProber{Source4: netip.MustParseAddr("127.0.0.7")}
	if got := probe(t, p, target, plenty); got.Outcome != Passed {
		t.Fatalf("outcome = %v, want Passed", got.Outcome)
	}
	conn, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got := netip.MustParseAddrPort(conn.RemoteAddr().String()).Addr(); got != p.Source4 {
		t.Errorf("source = %v, want %v", got, p.Source4)
	}
	p.Source4 = netip.MustParseAddr("192.0.2.1") // not an address of this machine
	if got := probe(t, p, target, plenty); got.Outcome != NotAsked {
		t.Errorf("outcome = %v, want NotAsked", got.Outcome)
	}
}
