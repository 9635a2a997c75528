package cost

import (
	"net"
	"net/netip"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

var mac = net.HardwareAddr{2, 0, 0, 0, 0, 1}

func TestPacketsCarryTheirEnds(t *testing.T) {
	for name, traffic := range map[string]*Traffic{
		"IPv4 TCP": {VIP: netip.MustParseAddrPort("198.18.0.100:80")},
		"IPv4 UDP": {VIP: netip.MustParseAddrPort("198.18.0.100:53"), UDP: true},
		"IPv6 TCP": {VIP: netip.MustParseAddrPort("[2001:db8::100]:80")},
		"IPv6 UDP": {VIP: netip.MustParseAddrPort("[2001:db8::100]:53"), UDP: true},
	} {
		t.Run(name, func(t *testing.T) {
			want := frameEnds{traffic.client(FromClient, 70000), traffic.VIP}
			if got := endsOf(traffic.packet(mac, want, segment{})); got != want {
				t.Errorf("ends = %v, want %v", got, want)
			}
		})
	}
}

func TestFlowsHaveClientsOfTheirOwn(t *testing.T) {
	traffic := &Traffic{VIP: netip.MustParseAddrPort("198.18.0.100:80")}
	if got, want := traffic.client(FromClient, 0x18001), netip.MustParseAddrPort("10.1.128.1:1025"); got != want {
		t.Errorf("client = %v, want %v", got, want)
	}
	if a, b := traffic.client(FromClient, 5), traffic.client(Opening, 5); a == b {
		t.Errorf("a flow that is opened has the client of an established one: %v", a)
	}
}

// The kernel has to be asked whether the loop sees what a program says.
func TestPacketsThatAreNotSentOnSpoilAMeasurement(t *testing.T) {
	for name, c := range map[string]struct {
		verdict int32 // of enum xdp_action
		spoils  bool
	}{
		"dropped":    {1, true},
		"passed":     {2, true},
		"sent":       {3, false},
		"redirected": {4, false},
	} {
		t.Run(name, func(t *testing.T) {
			spec := &ebpf.ProgramSpec{
				Type: ebpf.XDP, AttachType: ebpf.AttachXDP, License: "Dual BSD/GPL",
				Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, c.verdict), asm.Return()},
			}
			prog, err := ebpf.NewProgram(spec)
			if err != nil {
				t.Fatalf("loading a program needs root: %v", err)
			}
			defer prog.Close()
			l, err := (&Meter{mac: mac}).newLoop(&Traffic{VIP: netip.MustParseAddrPort("198.18.0.100:80"), Flows: 1}, FromClient, func(*benchObjects) *ebpf.Program { return prog })
			if err != nil {
				t.Fatal(err)
			}
			defer l.close()
			if _, err := l.time(1); err != nil {
				t.Fatal(err)
			}
			if err := l.check(); (err != nil) != c.spoils {
				t.Errorf("check = %v, want an error: %v", err, c.spoils)
			}
		})
	}
}
