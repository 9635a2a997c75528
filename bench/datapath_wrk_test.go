package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWrkIsRead(t *testing.T) {
	const good = `Running 2s test @ http://198.18.0.200:80/
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   410.00us  210.00us   4.01ms   91.20%
    Req/Sec    75.51k     3.02k   80.11k    80.00%
  150321 requests in 2.00s, 22.10MB read
Requests/sec:  75151.01
Transfer/sec:     11.05MB
requests 150321
microseconds 2000252
bytes 23173529
took 380 150000
took 1210 321
`
	got, err := parseWrk(good)
	want := wrkSaid{requests: 150321, microseconds: 2000252, bytes: 23173529, took: map[int]int{380: 150000, 1210: 321}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(wrkSaid{})); err != nil || diff != "" {
		t.Errorf("parseWrk: %v (-want +got):\n%s", err, diff)
	}
	for name, bad := range map[string]string{
		"nothing":                      "",
		"errors of sockets":            good + "  Socket errors: connect 0, read 3, write 0, timeout 0\n",
		"answers with a 502":           good + "  Non-2xx or 3xx responses: 7\n",
		"a time that is not a number":  good + "took long 1\n",
		"a count that is not a number": good + "took 1 often\n",
	} {
		if r, err := parseWrk(bad); err == nil {
			t.Errorf("%s: parseWrk = %+v, want an error", name, r)
		}
	}
}

func TestClientsArePutTogether(t *testing.T) {
	got := summarize([]wrkSaid{
		{requests: 98, microseconds: 1e6, bytes: 3e6, took: map[int]int{1000: 90, 2000: 8}},
		{requests: 4, microseconds: 2e6, bytes: 2e6, took: map[int]int{2000: 1, 9000: 1}},
	})
	want := result{rate: 100, megabytes: 4, p50: 1, p99: 2, p999: 9}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(result{})); diff != "" {
		t.Errorf("summarize (-want +got):\n%s", diff)
	}
}
