package proxy

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"net"

	"github.com/pires/go-proxyproto"
)

// What AWS adds to a PROXY header of version 2 (NLB user guide, proxy protocol):
// the checksum, the endpoint when the client came through one, and padding that
// makes all headers of a family equally long.
const (
	tlvAWS           = 0xEA // PP2_TYPE_AWS
	tlvSubtypeVPCEID = 0x01 // PP2_SUBTYPE_AWS_VPCE_ID
	tlvRoom          = 72   // bytes of all TLVs together
	tlvHead          = 3    // bytes of type and length
)

// proxyHeader encodes who the client is. endpoint is the ID of the VPC endpoint
// that it came through, or empty.
func proxyHeader(version ProxyProtocol, f Flow, endpoint string) ([]byte, error) {
	h := proxyproto.HeaderProxyFromAddrs(byte(version), net.TCPAddrFromAddrPort(f.Client), net.TCPAddrFromAddrPort(f.Local))
	if version == ProxyV1 {
		return h.Format()
	}
	tlvs := []proxyproto.TLV{{Type: proxyproto.PP2_TYPE_CRC32C, Value: make([]byte, crc32.Size)}}
	room := tlvRoom - tlvHead - crc32.Size
	if endpoint != "" {
		tlvs = append(tlvs, proxyproto.TLV{Type: tlvAWS, Value: append([]byte{tlvSubtypeVPCEID}, endpoint...)})
		room -= tlvHead + 1 + len(endpoint)
	}
	if room >= tlvHead {
		tlvs = append(tlvs, proxyproto.TLV{Type: proxyproto.PP2_TYPE_NOOP, Value: make([]byte, room-tlvHead)})
	}
	if err := h.SetTLVs(tlvs); err != nil {
		return nil, err
	}
	b, err := h.Format()
	if err != nil {
		return nil, fmt.Errorf("encode the PROXY header: %w", err)
	}
	putChecksum(b, len(b)-tlvLength(tlvs)+tlvHead)
	return b, nil
}

func tlvLength(tlvs []proxyproto.TLV) (n int) {
	for _, t := range tlvs {
		n += tlvHead + len(t.Value)
	}
	return n
}

// putChecksum writes the CRC32C of a header whose checksum's bytes, at an
// offset, are zero (PROXY protocol, section 2.2.3).
func putChecksum(header []byte, at int) {
	binary.BigEndian.PutUint32(header[at:], crc32.Checksum(header, crc32.MakeTable(crc32.Castagnoli)))
}
