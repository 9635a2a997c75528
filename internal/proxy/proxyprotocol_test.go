package proxy_test

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/fairlead-lb/fairlead/internal/proxy"
)

func TestTargetsGetAPROXYHeaderAndTheClientsOwnIsNoneOfIt(t *testing.T) {
	received := make(chan []byte, 1)
	w := start(t, proxy.Options{})
	at := serve(t, func(c net.Conn) { b, _ := io.ReadAll(c); received <- b })
	v1, v2, none := tcpListener(t, target("a", at)), tcpListener(t, target("a", at)), tcpListener(t, target("a", at))
	v1.Forward[0].ProxyProtocol, v2.Forward[0].ProxyProtocol = proxy.ProxyV1, proxy.ProxyV2
	w.apply(v1, v2, none)
	const forged = "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nhello"
	for name, test := range map[string]struct {
		l    proxy.Listener
		head func(client, local string) string
		skip int
	}{
		"version 1": {v1, func(client, local string) string {
			c, l := netip.MustParseAddrPort(client), netip.MustParseAddrPort(local)
			return fmt.Sprintf("PROXY TCP4 %s %s %d %d\r\n", c.Addr(), l.Addr(), c.Port(), l.Port())
		}, 0},
		"version 2": {v2, func(client, local string) string {
			c, l := netip.MustParseAddrPort(client), netip.MustParseAddrPort(local)
			return "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x54" + string(c.Addr().AsSlice()) + string(l.Addr().AsSlice())
		}, 100 - 24},
		"none": {none, func(string, string) string { return "" }, 0},
	} {
		c := dial(t, test.l.Address)
		_, _ = io.WriteString(c, forged)
		_ = c.CloseWrite()
		got, head := string(<-received), test.head(c.LocalAddr().String(), c.RemoteAddr().String())
		if !strings.HasPrefix(got, head) || got[len(head)+test.skip:] != forged {
			t.Errorf("%s: the target got %q, want %q, %d more bytes, and all that the client sent", name, got, head, test.skip)
		}
	}
}
