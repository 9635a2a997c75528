package elb

import (
	"strconv"
	"testing"

	"github.com/fairlead-lb/fairlead/internal/lb"
)

func FuzzHealthCheckTarget(f *testing.F) {
	for _, seed := range []string{"TCP:80", "ssl:443", "HTTP:80/", "HTTPS:8443/ping?x=%2F", "HTTP:80", "TCP:80/", ":", "HTTP:0080/"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, target string) {
		check, err := parseTarget(target)
		if err != nil {
			return
		}
		port, err := strconv.Atoi(check.Port)
		if err != nil || port < 1 || port > 65535 {
			t.Errorf("%q has the port %q", target, check.Port)
		}
		text := string(check.Protocol) + ":" + check.Port + check.Path
		again, err := parseTarget(text)
		if err != nil || again != check {
			t.Errorf("%q is %+v, and %q is %+v, %v", target, check, text, again, err)
		}
		if hasPath := check.Protocol == lb.HTTP || check.Protocol == lb.HTTPS; hasPath != (check.Path != "") {
			t.Errorf("%q is %+v", target, check)
		}
	})
}
