package httplb

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRequestReachesTheTargetWithForwardedHeaders(t *testing.T) {
	var got http.Header
	w := newWorld(t, nil, httpTarget(t, func(rw http.ResponseWriter, r *http.Request) {
		got = r.Header
		_, _ = io.WriteString(rw, "hello")
	}))
	answer := w.send("GET / HTTP/1.1\r\nHost: example.com\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 1\r\nConnection: close, X-Secret\r\nX-Secret: 1\r\n\r\n")
	if !strings.HasPrefix(answer, "HTTP/1.1 200 OK\r\n") || !strings.HasSuffix(answer, "\r\n\r\nhello") {
		t.Errorf("got %q", answer)
	}
	want := http.Header{"X-Forwarded-For": {"1.2.3.4, 127.0.0.1"}, "X-Forwarded-Proto": {"http"}, "X-Forwarded-Port": {w.addr[strings.LastIndexByte(w.addr, ':')+1:]}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("headers at the target (-want +got):\n%s", diff)
	}
}
