package lab

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
)

// Beside returns the options of a lab beside any that is up, for programs and
// tests: its state is in the directory "lab" of dir, its namespaces begin with
// the name, its ports are free, and its programs are those in the directory bin.
func Beside(name, dir, bin string) (Options, error) {
	o := DefaultOptions()
	bin, err := filepath.Abs(bin)
	if err != nil {
		return o, err
	}
	o.StateDir, o.Prefix = filepath.Join(dir, "lab"), fmt.Sprintf("%s%d-", name, os.Getpid())
	o.Binaries.Lab, o.Binaries.Fairlead = filepath.Join(bin, "fairlead-lab"), filepath.Join(bin, "fairlead")
	o.AllowOverlap = true
	o.APIPort, o.EnginePort, err = freePorts()
	return o, err
}

// freePorts finds two ports of loopback that nobody has, below those that kernels
// give to connections: it takes a while until the lab listens there.
func freePorts() (api, engine uint16, err error) {
	const first, connections = 10000, 32768
	var ports []uint16
	for range 100 {
		port := uint16(first + rand.N(connections-first))
		l, listenErr := net.Listen("tcp", loopback(port).String())
		if listenErr != nil {
			err = listenErr
			continue
		}
		defer l.Close() // both at once: not the same twice
		if ports = append(ports, port); len(ports) == 2 {
			return ports[0], ports[1], nil
		}
	}
	return 0, 0, err
}
