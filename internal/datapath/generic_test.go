package datapath

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/fairlead-lb/fairlead/internal/netlab"
)

func TestGenericXDPForwards(t *testing.T) {
	s := newSite(t)
	s.checkReceived(t, "client")
	s.serve(t, "t1", 8080)
	s.serve(t, "t2", 8080)
	d, stop := s.openAs(t, Generic)
	s.cleanup(t)
	snap := snapshot()
	apply(t, d, snap, healthy(snap))
	var conns []*conn
	for _, address := range []string{vip4 + ":80", "[" + vip6 + "]:80"} {
		c := s.dial(t, "client", address)
		if seen := c.ask(t, strings.Repeat("x", 9000))[1]; seen != c.LocalAddr().String() {
			t.Errorf("a target saw %s, want the client's own %s", seen, c.LocalAddr())
		}
		conns = append(conns, c)
	}
	if d.Mode() != Generic {
		t.Errorf("mode = %s, want generic", d.Mode())
	}
	stop()
	for _, mode := range []Mode{"", Native} { // first adopted as it is, then attached anew
		d, stop = s.openAs(t, mode)
		if want := map[Mode]Mode{"": Generic, Native: Native}[mode]; d.Mode() != want {
			t.Errorf("mode %q over a generic one gave %s, want %s", mode, d.Mode(), want)
		}
		for _, c := range conns {
			c.ask(t, "again")
		}
		stop()
	}
}

// A bridge has a driver without XDP.
func TestADriverWithoutXDPGetsTheGenericOne(t *testing.T) {
	s := newSite(t)
	var log strings.Builder
	err := netlab.In(s.prefix+"edge", func() error {
		err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "dull"}})
		if err != nil {
			return err
		}
		if d, err := Open(Config{Interface: "dull", Flows: 64, Mode: Native}); err == nil {
			t.Error("native XDP where the driver has none")
			err = d.Close()
			return err
		}
		d, err := Open(Config{Interface: "dull", Flows: 64, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			return err
		}
		if d.Mode() != Generic || !strings.Contains(log.String(), "no native XDP") {
			t.Errorf("mode = %s, log %q; want generic and a warning", d.Mode(), log.String())
		}
		return errors.Join(d.Detach(), d.Close())
	})
	if err != nil {
		t.Fatal(err)
	}
}

// The peer of a veth drops what a native program sends, unless it takes part.
func TestAVethGetsTheGenericProgramUnlessTold(t *testing.T) {
	s := newSite(t)
	s.cleanup(t)
	d, stop := s.openAs(t, "")
	defer stop()
	if d.Mode() != Generic {
		t.Errorf("mode = %s on a veth, want generic", d.Mode())
	}
}
