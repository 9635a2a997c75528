package nginx

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"testing"
)

// ask sends bytes before a request and returns the answer.
func ask(t *testing.T, addr, before, headers string) (Answer, *net.TCPAddr) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := fmt.Fprintf(c, "%sGET /?format=json HTTP/1.1\r\nHost: web\r\n%s\r\n", before, headers); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var a Answer
	if err := json.NewDecoder(resp.Body).Decode(&a); err != nil {
		t.Fatal(err)
	}
	return a, c.LocalAddr().(*net.TCPAddr)
}

func TestTheClientIsToldByWhoeverTellsIt(t *testing.T) {
	addr, _, _ := serve(t)
	tests := map[string]struct{ before, headers, proxied, forwarded string }{
		"nobody":          {},
		"a PROXY header":  {before: "PROXY TCP4 203.0.113.10 198.18.16.5 40000 80\r\n", proxied: "203.0.113.10:40000"},
		"X-Forwarded-For": {headers: "X-Forwarded-For: 203.0.113.10\r\n", forwarded: "203.0.113.10"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			a, peer := ask(t, addr, tt.before, tt.headers)
			if a.Peer != peer.AddrPort() {
				t.Errorf("peer %s, want %s", a.Peer, peer)
			}
			proxied := ""
			if a.Proxied.IsValid() {
				proxied = a.Proxied.String()
			}
			if proxied != tt.proxied || a.ForwardedFor != tt.forwarded {
				t.Errorf("proxied %q, forwarded for %q; want %q, %q", proxied, a.ForwardedFor, tt.proxied, tt.forwarded)
			}
		})
	}
}
