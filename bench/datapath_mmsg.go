package main

import (
	"encoding/binary"
	"errors"
	"unsafe"

	"golang.org/x/sys/unix"
)

const datagramSize = 64 // bytes of data

// datagramBatch is datagrams that are sent or received with one system call.
type datagramBatch struct {
	data    [][datagramSize]byte
	names   []unix.RawSockaddrInet4
	parts   []unix.Iovec
	headers []batchHeader
}

// batchHeader is struct mmsghdr of recvmmsg(2).
type batchHeader struct {
	header unix.Msghdr
	length uint32
	_      [4]byte
}

func newDatagramBatch(n int) *datagramBatch {
	b := &datagramBatch{make([][datagramSize]byte, n), make([]unix.RawSockaddrInet4, n), make([]unix.Iovec, n), make([]batchHeader, n)}
	for i := range n {
		b.parts[i].Base = &b.data[i][0]
		b.headers[i].header.Iov = &b.parts[i]
		b.headers[i].header.SetIovlen(1)
	}
	return b
}

// fill makes datagram i a whole one with a number, to where the socket is
// connected.
func (b *datagramBatch) fill(i int, number uint64) {
	binary.NativeEndian.PutUint64(b.data[i][:], number)
	b.parts[i].SetLen(datagramSize)
	b.headers[i].header.Name, b.headers[i].header.Namelen = nil, 0
}

// receive waits for a datagram and takes those that are there.
func (b *datagramBatch) receive(fd int) (int, error) {
	for i := range b.headers {
		b.parts[i].SetLen(datagramSize)
		b.headers[i].header.Name, b.headers[i].header.Namelen = (*byte)(unsafe.Pointer(&b.names[i])), unix.SizeofSockaddrInet4
	}
	n, err := b.call(unix.SYS_RECVMMSG, fd, len(b.headers), unix.MSG_WAITFORONE)
	for i := range n {
		b.parts[i].SetLen(int(b.headers[i].length))
	}
	return n, err
}

// send sends the first n datagrams, or as many of them as it gets rid of.
func (b *datagramBatch) send(fd, n int) (int, error) {
	return b.call(unix.SYS_SENDMMSG, fd, n, 0)
}

func (b *datagramBatch) call(number uintptr, fd, n, flags int) (int, error) {
	for {
		r, _, errno := unix.Syscall6(number, uintptr(fd), uintptr(unsafe.Pointer(&b.headers[0])), uintptr(n), uintptr(flags), 0, 0)
		if errno == 0 {
			return int(r), nil
		}
		if !errors.Is(errno, unix.EINTR) {
			return 0, errno
		}
	}
}
