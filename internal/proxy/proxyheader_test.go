package proxy

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pires/go-proxyproto"
)

func flow(client, local string) Flow {
	return Flow{Client: netip.MustParseAddrPort(client), Local: netip.MustParseAddrPort(local)}
}

func TestVersion1IsOneLine(t *testing.T) {
	for _, test := range []struct {
		flow Flow
		want string
	}{
		{flow("203.0.113.10:40000", "198.18.0.5:80"), "PROXY TCP4 203.0.113.10 198.18.0.5 40000 80\r\n"},
		{flow("[2001:db8::7]:1", "[2001:db8::5]:65535"), "PROXY TCP6 2001:db8::7 2001:db8::5 1 65535\r\n"},
	} {
		got, err := proxyHeader(ProxyV1, test.flow, "")
		if err != nil || string(got) != test.want {
			t.Errorf("got %q, %v; want %q", got, err, test.want)
		}
	}
}

// An endpoint's header has the layout that a capture of a real Network Load
// Balancer has: 100 bytes with checksum, endpoint and padding in this order.
func TestVersion2IsWhatAWSSends(t *testing.T) {
	got, err := proxyHeader(ProxyV2, flow("203.0.113.10:40000", "198.18.0.5:443"), "vpce-08d2bf15fac5001c9")
	if err != nil {
		t.Fatal(err)
	}
	want := "0d0a0d0a000d0a515549540a" + "21" + "11" + "0054" + // signature, PROXY, TCP over IPv4, 84 bytes follow
		"cb00710a" + "c6120005" + "9c40" + "01bb" +
		"030004" + "CHECKSUM" +
		"ea0017" + "01" + hex.EncodeToString([]byte("vpce-08d2bf15fac5001c9")) +
		"040024" + strings.Repeat("00", 0x24)
	sum := bytes.Clone(got)
	copy(sum[31:35], make([]byte, 4))
	crc := binary.BigEndian.AppendUint32(nil, crc32.Checksum(sum, crc32.MakeTable(crc32.Castagnoli)))
	if diff := cmp.Diff(strings.Replace(want, "CHECKSUM", hex.EncodeToString(crc), 1), hex.EncodeToString(got)); diff != "" {
		t.Errorf("header (-want +got):\n%s", diff)
	}
}

func TestVersion2HeadersOfAFamilyAreEquallyLong(t *testing.T) {
	for name, test := range map[string]struct {
		flow     Flow
		endpoint string
		want     int
	}{
		"IPv4":               {flow("203.0.113.10:40000", "198.18.0.5:443"), "", 100},
		"IPv4, old endpoint": {flow("203.0.113.10:40000", "198.18.0.5:443"), "vpce-12345678", 100},
		"IPv6":               {flow("[3fff::1]:40000", "[2001:db8::5]:443"), "", 124},
	} {
		got, err := proxyHeader(ProxyV2, test.flow, test.endpoint)
		if err != nil || len(got) != test.want {
			t.Errorf("%s: got %d bytes, %v; want %d", name, len(got), err, test.want)
		}
	}
}

// FuzzProxyHeader has another implementation read what is written.
func FuzzProxyHeader(f *testing.F) {
	f.Add([]byte{203, 0, 113, 10}, []byte{198, 18, 0, 5}, uint16(40000), uint16(443), "", true)
	f.Add(bytes.Repeat([]byte{1}, 16), bytes.Repeat([]byte{2}, 16), uint16(0), uint16(65535), "vpce-08d2bf15fac5001c9", true)
	f.Add(bytes.Repeat([]byte{1}, 16), bytes.Repeat([]byte{2}, 16), uint16(0), uint16(65535), strings.Repeat("x", 70), false)
	f.Fuzz(func(t *testing.T, client, local []byte, clientPort, localPort uint16, endpoint string, second bool) {
		from, ok1 := netip.AddrFromSlice(client)
		to, ok2 := netip.AddrFromSlice(local)
		if !ok1 || !ok2 || from.Is4() != to.Is4() || from.Is4In6() || to.Is4In6() || len(endpoint) > 1024 {
			return // not the two ends of a connection
		}
		version := ProxyV1
		if second {
			version = ProxyV2
		}
		want := Flow{Client: netip.AddrPortFrom(from, clientPort), Local: netip.AddrPortFrom(to, localPort)}
		b, err := proxyHeader(version, want, endpoint)
		if err != nil {
			t.Fatal(err)
		}
		rest := bufio.NewReader(bytes.NewReader(append(b, "data"...)))
		h, err := proxyproto.Read(rest)
		if err != nil {
			t.Fatalf("read %q: %v", b, err)
		}
		got := Flow{Client: addrPort(h.SourceAddr), Local: addrPort(h.DestinationAddr)}
		if got != want {
			t.Errorf("read %v, wrote %v", got, want)
		}
		if data, _ := rest.Peek(4); string(data) != "data" {
			t.Errorf("after the header comes %q", data)
		}
	})
}
