package httplb

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-lb/fairlead/internal/proxy"
	"github.com/fairlead-lb/fairlead/internal/proxy/http1"
)

func sticky(c proxy.Cookie) func(*proxy.Listener, *Options) {
	return func(l *proxy.Listener, _ *Options) { l.Forward[0].Cookie = &c }
}

func named(name string, cookies ...string) http.HandlerFunc {
	return func(rw http.ResponseWriter, _ *http.Request) {
		for _, c := range cookies {
			rw.Header().Add("Set-Cookie", c)
		}
		_, _ = io.WriteString(rw, name)
	}
}

func TestDurationBasedCookies(t *testing.T) {
	w := newWorld(t, sticky(proxy.Cookie{Expiry: time.Minute}), httpTarget(t, named("a")), httpTarget(t, named("b")))
	c, r := w.dial()
	write(t, c, get)
	res, first := answer(t, r)
	value := cookieValue(balancer, "i-"+first)
	want := []string{"AWSELB=" + value + ";PATH=/;MAX-AGE=60", "AWSELBCORS=" + value + ";PATH=/;MAX-AGE=60;SECURE;SAMESITE=None"}
	if diff := cmp.Diff(want, res.Header["Set-Cookie"]); diff != "" {
		t.Errorf("cookies (-want +got):\n%s", diff)
	}
	for _, name := range []string{"AWSELB", "AWSELBCORS"} {
		for range 4 {
			write(t, c, "GET / HTTP/1.1\r\nHost: h\r\nCookie: x=y; "+name+"="+value+"\r\n\r\n")
			res, got := answer(t, r)
			if got != first || len(res.Header["Set-Cookie"]) > 0 {
				t.Errorf("%s: got target %s and cookies %q, want target %s and none", name, got, res.Header["Set-Cookie"], first)
			}
		}
	}
	for i := range w.listener.Forward[0].Targets {
		target := &w.listener.Forward[0].Targets[i]
		target.Eligible = target.ID != "i-"+first
	}
	w.apply()
	write(t, c, "GET / HTTP/1.1\r\nHost: h\r\nCookie: AWSELB="+value+"\r\n\r\n")
	if res, got := answer(t, r); got == first || len(res.Header["Set-Cookie"]) != 2 {
		t.Errorf("with its target gone the session went to %s with cookies %q", got, res.Header["Set-Cookie"])
	}
}

func TestApplicationCookies(t *testing.T) {
	set := "SID=1; Path=/my_app; Secure; HttpOnly; Max-Age=9; SameSite=Lax"
	w := newWorld(t, sticky(proxy.Cookie{Application: "SID"}),
		httpTarget(t, func(rw http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/login" {
				rw.Header().Add("Set-Cookie", set)
			}
			named("a")(rw, r)
		}), httpTarget(t, named("b", "other=1")))
	c, r := w.dial()
	value := cookieValue(balancer, "i-a")
	want := []string{set, "AWSELB=" + value + ";Path=/my%5Fapp;Secure;HttpOnly;Max-Age=9;SameSite=Lax",
		"AWSELBCORS=" + value + ";Path=/my%5Fapp;HttpOnly;Max-Age=9;SECURE;SAMESITE=None"}
	for {
		write(t, c, "GET /login HTTP/1.1\r\nHost: h\r\n\r\n")
		if res, got := answer(t, r); got == "a" {
			if diff := cmp.Diff(want, res.Header["Set-Cookie"]); diff != "" {
				t.Errorf("cookies (-want +got):\n%s", diff)
			}
			break
		}
	}
	for range 4 {
		write(t, c, "GET / HTTP/1.1\r\nHost: h\r\nCookie: SID=1; AWSELB="+value+"\r\n\r\n")
		if res, got := answer(t, r); got != "a" || len(res.Header["Set-Cookie"]) > 0 {
			t.Errorf("got target %s and cookies %q", got, res.Header["Set-Cookie"])
		}
	}
	targets := map[string]bool{}
	for range 4 { // the application's cookie has gone: so has the session
		write(t, c, "GET / HTTP/1.1\r\nHost: h\r\nCookie: AWSELB="+value+"\r\n\r\n")
		_, got := answer(t, r)
		targets[got] = true
	}
	if len(targets) != 2 {
		t.Errorf("without the application's cookie requests went to %v only", targets)
	}
}

func TestForeignCookiesBindToNobody(t *testing.T) {
	v := newView(&proxy.Listener{Balancer: balancer, Forward: []proxy.Pool{{Cookie: &proxy.Cookie{}, Targets: []proxy.Target{{ID: "i-a"}}}}})
	for _, cookie := range []string{"", "AWSELB=", "AWSELB=i-a", "AWSELB=" + strings.ToLower(cookieValue(balancer, "i-a")), "AWSELB=" + cookieValue("another", "i-a"), "X=" + cookieValue(balancer, "i-a")} {
		var r http1.Request
		if err := r.Parse([]byte("GET / HTTP/1.1\r\nHost: h\r\nCookie: " + cookie + "\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		if got := v.session(&r); got != "" {
			t.Errorf("cookie %q binds to %q", cookie, got)
		}
	}
}
