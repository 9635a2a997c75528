package announce

import (
	"encoding/hex"
	"log/slog"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var mac = [6]byte{0x02, 0, 0, 0, 0, 0x0a}

func TestFrames(t *testing.T) {
	for name, tc := range map[string]struct {
		addr string
		want []string
	}{
		"IPv4 is announced by a request and a reply": {"198.18.0.100", []string{
			"ffffffffffff" + "02000000000a" + "0806" + "0001080006040001" + "02000000000a" + "c6120064" + "000000000000" + "c6120064",
			"ffffffffffff" + "02000000000a" + "0806" + "0001080006040002" + "02000000000a" + "c6120064" + "02000000000a" + "c6120064",
		}},
		"IPv6 by an advertisement to all nodes": {"2001:db8::100", []string{
			"333300000001" + "02000000000a" + "86dd" + "60000000" + "0020" + "3aff" +
				"20010db8000000000000000000000100" + "ff020000000000000000000000000001" +
				"8800" + "f723" + "20000000" + "20010db8000000000000000000000100" + "0201" + "02000000000a",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, f := range Frames(netip.MustParseAddr(tc.addr), mac) {
				got = append(got, hex.EncodeToString(f))
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("frames (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAdvertisementHasAValidChecksum(t *testing.T) {
	addr := netip.MustParseAddr("2001:db8::100")
	f := Frames(addr, mac)[0]
	// A sum over a message with its checksum in place is zero, complemented.
	if got := checksum(addr, netip.IPv6LinkLocalAllNodes(), f[54:]); got != 0 {
		t.Errorf("checksum is off by %#x", got)
	}
}

func TestAddressesAreAnnouncedAtTakeoverAndEverAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &Announcer{mac: mac, log: slog.New(slog.DiscardHandler), held: map[netip.Addr]schedule{}, wake: make(chan struct{}, 1)}
		first, second := netip.MustParseAddr("198.18.0.100"), netip.MustParseAddr("198.18.0.101")
		start := time.Now()
		a.Set([]netip.Addr{first})
		got := map[netip.Addr][]time.Duration{}
		for time.Since(start) < 3*time.Minute {
			due, next := a.due(time.Now())
			for _, addr := range due {
				got[addr] = append(got[addr], time.Since(start))
			}
			if time.Since(start) == 4*time.Second && len(got[second]) == 0 {
				a.Set([]netip.Addr{first, second})
				continue
			}
			if time.Since(start) == 49*time.Second && slices.Contains(due, first) {
				a.Set([]netip.Addr{first})
			}
			time.Sleep(next)
		}
		s := time.Second
		want := map[netip.Addr][]time.Duration{
			first:  {0, 2 * s, 4 * s, 49 * s, 94 * s, 139 * s},
			second: {4 * s, 6 * s, 8 * s},
		}
		if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
			t.Errorf("announcements (-want +got):\n%s", diff)
		}
	})
}
