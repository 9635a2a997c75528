package edge

import (
	"fmt"
	"net"
	"net/netip"
)

// SourceAddresses returns the addresses of an interface that health checks come
// from: the first global one of each family, the zero Addr where there is none.
func SourceAddresses(name string) (v4, v6 netip.Addr, err error) {
	iface, err := net.InterfaceByName(name)
	if err != nil {
		return v4, v6, fmt.Errorf("find interface %s: %w", name, err)
	}
	addrs, err := iface.Addrs()
	if err != nil {
		return v4, v6, fmt.Errorf("list the addresses of %s: %w", name, err)
	}
	for _, a := range addrs {
		prefix, err := netip.ParsePrefix(a.String())
		if err != nil {
			continue
		}
		switch addr := prefix.Addr(); {
		case !addr.IsGlobalUnicast():
		case addr.Is4() && !v4.IsValid():
			v4 = addr
		case addr.Is6() && !v6.IsValid():
			v6 = addr
		}
	}
	return v4, v6, nil
}
