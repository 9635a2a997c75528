package netlab

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Commands of the ethtool ioctl, from linux/ethtool.h.
const (
	ethtoolGTXCSUM = 0x16
	ethtoolSTXCSUM = 0x17
	ethtoolGGRO    = 0x2b
	ethtoolSGRO    = 0x2c
)

// ethtoolValue is struct ethtool_value of linux/ethtool.h.
type ethtoolValue struct{ cmd, data uint32 }

// ifreqData is struct ifreq of linux/if.h with a pointer in its union.
type ifreqData struct {
	name [unix.IFNAMSIZ]byte
	data unsafe.Pointer
	_    [16]byte // the union is 24 bytes long
}

// setOffload changes what the port's driver does for its peer. Checksum
// offload on veth means that a frame travels without its checksum, which an
// XDP program behind the port would send on unfinished; GRO makes the port
// receive through NAPI, without which it drops what such a program sends it.
func setOffload(p Port) error {
	for _, s := range []struct {
		what string
		cmd  uint32
		want Setting
	}{
		{"tx checksum offload", ethtoolSTXCSUM, p.Offload.TXChecksum},
		{"generic receive offload", ethtoolSGRO, p.Offload.GRO},
	} {
		if s.want == Keep {
			continue
		}
		v := ethtoolValue{cmd: s.cmd}
		if s.want == On {
			v.data = 1
		}
		if err := In(p.Namespace, func() error { return ethtool(p.Name, &v) }); err != nil {
			return fmt.Errorf("set %s: %w", s.what, err)
		}
	}
	return nil
}

// ethtool runs one command on an interface of the calling thread's namespace.
func ethtool(name string, v *ethtoolValue) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var req ifreqData
	copy(req.name[:unix.IFNAMSIZ-1], name)
	req.data = unsafe.Pointer(v)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&req))); errno != 0 {
		return errno
	}
	return nil
}
