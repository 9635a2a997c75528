package main

import "testing"

func TestWrkIsRead(t *testing.T) {
	const good = `Running 2s test @ http://198.18.0.200:80/
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   410.00us  210.00us   4.01ms   91.20%
    Req/Sec    75.51k     3.02k   80.11k    80.00%
  Latency Distribution
     50%  380.00us
     75%  450.00us
     90%  600.00us
     99%    1.21ms
  150321 requests in 2.00s, 22.10MB read
Requests/sec:  75151.01
Transfer/sec:     11.05MB
`
	got, err := parseWrk(good)
	if want := (wrkResult{rate: 75151.01, p50: 0.38, p99: 1.21}); err != nil || got != want {
		t.Errorf("parseWrk = %+v, %v, want %+v", got, err, want)
	}
	for name, bad := range map[string]string{
		"nothing":            "",
		"errors of sockets":  good + "  Socket errors: connect 0, read 3, write 0, timeout 0\n",
		"answers with a 502": good + "  Non-2xx or 3xx responses: 7\n",
	} {
		if r, err := parseWrk(bad); err == nil {
			t.Errorf("%s: parseWrk = %+v, want an error", name, r)
		}
	}
}
