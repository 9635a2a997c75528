package netlab

import (
	"math/rand/v2"
	"net"
	"net/netip"
)

// FreeAddresses finds addresses of loopback that nobody listens on, for who has
// to know where it will listen before it does. They stay free meanwhile: the
// kernel gives ports to connections of 127.0.0.1, and others listen there.
func FreeAddresses(n int) ([]netip.AddrPort, error) {
	host := netip.AddrFrom4([4]byte{127, byte(1 + rand.N(254)), byte(rand.N(256)), byte(1 + rand.N(254))})
	addresses := make([]netip.AddrPort, n)
	for i := range addresses {
		l, err := net.Listen("tcp", netip.AddrPortFrom(host, 0).String())
		if err != nil {
			return nil, err
		}
		defer l.Close() // all at once: no port twice
		addresses[i] = l.Addr().(*net.TCPAddr).AddrPort()
	}
	return addresses, nil
}
