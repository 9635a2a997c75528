package main

import (
	"encoding/binary"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// loopbackSocket is a datagram socket with an address of its own.
func loopbackSocket(t *testing.T) (fd int, address unix.Sockaddr) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if address, err = unix.Getsockname(fd); err != nil {
		t.Fatal(err)
	}
	return fd, address
}

func TestDatagramsGoThereAndBack(t *testing.T) {
	client, _ := loopbackSocket(t)
	server, address := loopbackSocket(t)
	if err := unix.Connect(client, address); err != nil {
		t.Fatal(err)
	}
	out, echo, in := newDatagramBatch(3), newDatagramBatch(8), newDatagramBatch(8)
	for i := range out.data {
		out.fill(i, uint64(40+i))
	}
	for _, step := range []struct {
		what string
		do   func() (int, error)
	}{
		{"send", func() (int, error) { return out.send(client, 3) }},
		{"receive at the server", func() (int, error) { return echo.receive(server) }},
		{"send back", func() (int, error) { return echo.send(server, 3) }},
		{"receive at the client", func() (int, error) { return in.receive(client) }},
	} {
		if n, err := step.do(); n != 3 || err != nil {
			t.Fatalf("%s: %d datagrams, %v; want 3", step.what, n, err)
		}
	}
	var got []uint64
	for i := range 3 {
		got = append(got, binary.NativeEndian.Uint64(in.data[i][:]))
	}
	if want := []uint64{40, 41, 42}; !slices.Equal(got, want) {
		t.Errorf("numbers = %v, want %v", got, want)
	}
}
