package lb

// DataPath is how an edge takes the packets of its zone.
type DataPath string

// Data paths of edges, the fastest first.
const (
	DataPathNative    DataPath = "native"    // XDP in the driver
	DataPathGeneric   DataPath = "generic"   // XDP behind the driver
	DataPathUserspace DataPath = "userspace" // no XDP: sockets alone
	DataPathDetached  DataPath = "detached"  // the program was taken off
)

// Cost says what a data path lacks next to native XDP; empty for what lacks
// nothing or is not known.
func (p DataPath) Cost() string {
	switch p {
	case DataPathGeneric:
		return "a packet takes several times the CPU of native XDP"
	case DataPathUserspace:
		return "TCP listeners alone, at the edge's own address, and targets do not see the client's"
	case DataPathDetached:
		return "nothing is forwarded"
	}
	return ""
}

// Attributes of load balancers that are Fairlead's own and cannot be set: they are
// there while an edge of the load balancer's takes packets by less than native XDP.
const (
	AttrDataPath     = "fairlead.data_path"      // such as us-west-2a=generic,us-west-2b=userspace
	AttrDataPathCost = "fairlead.data_path.cost" // what that means
)
