package lab

import (
	"fmt"
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

// freePorts finds two ports of loopback that nobody has.
func freePorts() (api, engine uint16, err error) {
	var ports [2]uint16
	for i := range ports {
		l, err := net.Listen("tcp", loopback(0).String())
		if err != nil {
			return 0, 0, err
		}
		defer l.Close() // both at once: not the same twice
		ports[i] = l.Addr().(*net.TCPAddr).AddrPort().Port()
	}
	return ports[0], ports[1], nil
}
