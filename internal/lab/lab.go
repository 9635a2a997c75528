// Package lab runs a real small Kubernetes with load balancers on one machine:
// every node, edge and client is a network namespace, and the programs in them
// are the real ones.
//
// [Up] starts it and leaves a supervisor behind that keeps it running, [Open]
// finds a running one, [Down] takes it away. What the lab consists of is data
// made by the packages layout and component; package supervisor runs it.
//
// Invariants:
//   - Up changes nothing before every check has passed, and after a failure
//     takes away what it made, unless told to keep it.
//   - Whatever ends Up or the supervisor, Down takes away all that was made: what
//     a lab has is written down before it is made, or carries its prefix.
//   - Nothing of the lab is reachable from outside the machine: the host gets no
//     interface, only listeners on loopback.
package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"

	"github.com/fairlead-lb/fairlead/internal/cli"
	"github.com/fairlead-lb/fairlead/internal/lab/component"
	"github.com/fairlead-lb/fairlead/internal/lab/layout"
)

// Lab is a running lab, or what is left of one.
type Lab struct {
	dir    component.Dir
	state  state
	layout layout.Layout
}

// ErrNoLab says that there is no lab in a state directory.
var ErrNoLab = errors.New("there is no lab")

// Open finds the lab in a state directory. Its error wraps ErrNoLab when there
// is none.
func Open(stateDir string) (*Lab, error) {
	dir := component.Dir(stateDir)
	s, err := loadState(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &cli.Error{
			What: "find the lab",
			Err:  fmt.Errorf("%w in %s", ErrNoLab, stateDir),
			Hint: "start one with 'fairlead-lab up', or name its directory with --state-dir",
		}
	}
	if errors.Is(err, fs.ErrPermission) {
		return nil, &cli.Error{What: "find the lab", Err: err, Hint: "run it as the user who started the lab, usually root"}
	}
	if err != nil {
		return nil, fmt.Errorf("find the lab: %w", err)
	}
	l, err := s.layout()
	if err != nil {
		return nil, fmt.Errorf("read the lab's layout: %w", err)
	}
	return &Lab{dir: dir, state: s, layout: l}, nil
}

// StateDir is the directory that everything of the lab is in.
func (l *Lab) StateDir() string { return string(l.dir) }

// Layout says where everything in the lab is. It is that of the moment when
// the lab was opened.
func (l *Lab) Layout() layout.Layout { return l.layout }

// Kubeconfig is the path of an administrator's kubeconfig for use on the host.
func (l *Lab) Kubeconfig() string { return l.dir.Kubeconfig(adminUser) }

// EngineURL is the endpoint of the AWS API on the host.
func (l *Lab) EngineURL() string { return "http://" + loopback(l.state.EnginePort).String() }

// Credentials are an access key that may do everything at the engine.
func (l *Lab) Credentials() component.Credentials { return l.state.Admin }

func loopback(port uint16) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port)
}

// Restart restarts a component, with SIGTERM or, with kill, with SIGKILL, and
// returns when it serves again.
func (l *Lab) Restart(ctx context.Context, name string, kill bool) error {
	return l.client().restart(ctx, name, kill)
}

// AddNode adds a node to a zone and returns when it is Ready.
func (l *Lab) AddNode(ctx context.Context, zone string) (layout.NodeSpec, error) {
	return l.client().addNode(ctx, zone)
}

// RemoveNode takes a node away as a terminated instance goes: its programs end,
// then its Node object and the pods bound to it are deleted.
func (l *Lab) RemoveNode(ctx context.Context, name string) error {
	return l.client().removeNode(ctx, name)
}

// Status asks for the health of everything. Without a supervisor the report
// says so and is not an error.
func (l *Lab) Status(ctx context.Context) (Report, error) {
	r, err := l.client().status(ctx)
	if errors.Is(err, errNoSupervisor) {
		return l.abandoned(), nil
	}
	return r, err
}

// Logs returns the path of a component's log.
func (l *Lab) Logs(name string) (string, error) {
	path := l.dir.Log(name)
	if _, err := os.Stat(path); err != nil {
		return "", &cli.Error{
			What: "find the log of " + name,
			Err:  errors.New("there is no such component, or it has not started yet"),
			Hint: "'fairlead-lab status' lists the components",
		}
	}
	return path, nil
}
