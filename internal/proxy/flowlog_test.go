package proxy_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/proxy"
	"github.com/fairlead-lb/fairlead/internal/proxy/accesslog"
)

// keep takes no deliveries: what is spooled stays.
type keep struct{}

func (keep) Deliver(context.Context, string, string, *os.File) error {
	return errors.New("nothing is delivered here")
}

func TestAccessLogLinesOfConnections(t *testing.T) {
	dir := t.TempDir()
	spool, err := accesslog.Open(accesslog.Options{Dir: dir, Deliver: keep{}})
	if err != nil {
		t.Fatal(err)
	}
	target := serve(t, func(c net.Conn) {
		_, _ = io.ReadAll(c)
		_, _ = io.WriteString(c, "hello")
	})
	l := proxy.Listener{
		Balancer: "arn:aws:elasticloadbalancing:us-west-2:000000000000:loadbalancer/web", Name: "web",
		Address: freePort(t), Protocol: lb.TCP, IdleTimeout: time.Minute, AccessLog: &proxy.AccessLog{Bucket: "logs", Interval: time.Hour},
		Forward: []proxy.Pool{{Key: "web", Protocol: lb.TCP, Targets: []proxy.Target{{ID: "i-1", Addr: target, Eligible: true, Healthy: true}}}},
	}
	w := start(t, proxy.Options{AccessLog: spool})
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
	l.Forward[0].Targets = nil
	w.apply(l)
	if c, err := net.Dial("tcp", l.Address.String()); err == nil { // it is reset, perhaps as soon as this
		_, _ = io.ReadAll(c)
		_ = c.Close()
	}
	w.stop()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	spool.Run(ctx) // writes what there is
	second := `\d\.\d{6}`
	at := `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z web `
	wants := []string{
		at + regexp.QuoteMeta(client+" "+target.String()) + strings.Repeat(" "+second, 3) + ` - - 3 5 "- - - " "-" - -$`,
		at + `127\.0\.0\.1:\d+ - -1 -1 -1 - - 0 0 "- - - " "-" - -$`,
	}
	lines := strings.Split(strings.TrimSpace(contents(t, dir)), "\n")
	if len(lines) != len(wants) {
		t.Fatalf("got %d lines, want %d: %q", len(lines), len(wants), lines)
	}
	for i, want := range wants {
		if !regexp.MustCompile(want).MatchString(lines[i]) {
			t.Errorf("line %d:\n got %s\nwant %s", i, lines[i], want)
		}
	}
}

// contents is what all files below a directory hold.
func contents(t *testing.T, dir string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		all.Write(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}
