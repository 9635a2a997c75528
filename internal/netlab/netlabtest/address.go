package netlabtest

import (
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"
)

// Address returns an address of loopback that nobody listens on, for who has to
// know where it will listen before it does, and for what is never to answer. Its
// port stays free: the kernel gives ports to connections of 127.0.0.1, and other
// tests listen there.
func Address(t testing.TB) netip.AddrPort {
	t.Helper()
	host := netip.AddrFrom4([4]byte{127, byte(1 + rand.N(254)), byte(rand.N(256)), byte(1 + rand.N(254))})
	l, err := net.Listen("tcp", netip.AddrPortFrom(host, 0).String())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).AddrPort()
}
