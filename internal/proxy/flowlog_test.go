package proxy_test

import (
	"io"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/netlab/netlabtest"
	"github.com/fairlead-lb/fairlead/internal/proxy"
	"github.com/fairlead-lb/fairlead/internal/proxy/accesslog/accesslogtest"
)

func TestAccessLogLinesOfConnections(t *testing.T) {
	log := accesslogtest.Open(t)
	target := serve(t, func(c net.Conn) {
		_, _ = io.ReadAll(c)
		_, _ = io.WriteString(c, "hello")
	})
	l := proxy.Listener{
		Balancer: "arn:aws:elasticloadbalancing:us-west-2:000000000000:loadbalancer/web",
		Address:  netlabtest.Address(t), Protocol: lb.TCP, IdleTimeout: time.Minute, AccessLog: &proxy.AccessLog{Bucket: "logs", Interval: time.Hour},
		Forward: []proxy.Pool{{Key: "web", Protocol: lb.TCP, Targets: []proxy.Target{{ID: "i-1", Addr: target, Eligible: true, Healthy: true}}}},
	}
	w := start(t, proxy.Options{AccessLog: log.Spool})
	w.apply(l)
	c, err := net.Dial("tcp", l.Address.String())
	if err != nil {
		t.Fatal(err)
	}
	client := c.LocalAddr().String()
	_, _ = io.WriteString(c, "abc")
	_ = c.(*net.TCPConn).CloseWrite() // the answer tells
	if got, err := io.ReadAll(c); err != nil || string(got) != "hello" {
		t.Errorf("got %q, %v", got, err)
	}
	_ = c.Close()
	l.Forward = []proxy.Pool{{Key: "web", Protocol: lb.TCP}}
	w.apply(l)
	if c, err := net.Dial("tcp", l.Address.String()); err == nil { // it is reset, perhaps as soon as this
		_, _ = io.ReadAll(c)
		_ = c.Close()
	}
	w.stop()
	second := `\d\.\d{6}`
	at := `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z web `
	log.Expect(t,
		at+regexp.QuoteMeta(client+" "+target.String())+strings.Repeat(" "+second, 3)+` - - 3 5 "- - - " "-" - -$`,
		at+`127\.0\.0\.1:\d+ - -1 -1 -1 - - 0 0 "- - - " "-" - -$`,
	)
}
