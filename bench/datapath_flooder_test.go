package main

import (
	"encoding/binary"
	"testing"
)

func TestTheFloodsChecksumsAreRight(t *testing.T) {
	f := &flooder{frame: synFrame([]byte{2, 0, 0, 0, 0, 1})}
	for range 1000 {
		f.randomize()
		ip, tcp := f.frame[etherSize:etherSize+ipv4Size], f.frame[etherSize+ipv4Size:]
		const protocol, length = 6, tcpSize
		if got := fold(sum16(ip)); got != 0 {
			t.Fatalf("IPv4 header %x: the sum with its checksum is %#x, want 0", ip, got)
		}
		if got := fold(sum16(ip[12:]) + protocol + length + sum16(tcp)); got != 0 {
			t.Fatalf("TCP segment %x from %x: the sum with its checksum is %#x, want 0", tcp, ip[12:16], got)
		}
		if port := binary.BigEndian.Uint16(tcp); ip[12] != 10 || port < 1024 {
			t.Fatalf("the SYN is from %d.0.0.0/8 and port %d, want 10.0.0.0/8 and no low port", ip[12], port)
		}
	}
}
