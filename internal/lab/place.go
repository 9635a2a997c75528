package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/fairlead-lb/fairlead/internal/cli"
	"github.com/fairlead-lb/fairlead/internal/lab/layout"
	"github.com/fairlead-lb/fairlead/internal/netlab"
)

// Places lists how places of the lab are written.
func (l *Lab) Places() []string {
	var all []string
	for _, c := range layout.Clients() {
		all = append(all, c.Name)
	}
	all = append(all, layout.ControlNamespace)
	for _, z := range l.layout.Zones {
		all = append(all, "edge/"+z.Name)
	}
	for _, n := range l.layout.Nodes {
		all = append(all, "node/"+n.Name)
	}
	return all
}

// namespace finds the network namespace of a place that is no pod.
func (l *Lab) namespace(place string) (string, error) {
	if !slices.Contains(l.Places(), place) {
		return "", &cli.Error{
			What: "find the place " + place, Err: errors.New("the lab has no such place"),
			Hint: "there are " + strings.Join(l.Places(), ", ") + ", and pod/NAMESPACE/NAME", Code: cli.ExitUsage,
		}
	}
	kind, name, found := strings.Cut(place, "/")
	switch {
	case !found:
		return l.layout.Prefix + kind, nil
	case kind == "edge":
		return l.layout.Prefix + layout.EdgeNamespace(name), nil
	}
	return l.layout.Prefix + name, nil
}

// Become replaces this process by a command in a place: in its network
// namespace and, but for pods' own files, with a resolver that asks the
// cluster's DNS. It returns only with an error.
func (l *Lab) Become(ctx context.Context, place string, argv []string) error {
	if rest, ok := strings.CutPrefix(place, "pod/"); ok {
		return l.becomePod(ctx, rest, argv)
	}
	ns, err := l.namespace(place)
	if err != nil {
		return err
	}
	binds, err := l.resolverFiles(filepath.Join(l.dir.Resolv(), "resolv.conf"))
	if err != nil {
		return err
	}
	runtime.LockOSThread()
	if err := netlab.Enter(ns, binds); err != nil {
		return fmt.Errorf("enter %s: %w", place, err)
	}
	return replace(argv, os.Environ())
}

// resolverFiles puts a place's resolver in the place of the machine's, which is
// to be asked the plain way: by DNS, not by a service of the machine.
func (l *Lab) resolverFiles(resolv string) ([]netlab.Bind, error) {
	target, err := filepath.EvalSymlinks("/etc/resolv.conf")
	if err != nil {
		return nil, &cli.Error{What: "set up name resolution", Err: err, Hint: "create the file; it may be empty, and only commands in the lab see another content"}
	}
	binds := []netlab.Bind{{Source: resolv, Target: target}}
	if target, err := filepath.EvalSymlinks("/etc/nsswitch.conf"); err == nil { // without one, the C library's default is right
		binds = append(binds, netlab.Bind{Source: filepath.Join(l.dir.Resolv(), "nsswitch.conf"), Target: target})
	}
	return binds, nil
}

// replace turns this process into a program.
func replace(argv, env []string) error {
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return fmt.Errorf("run %s: %w", argv[0], err)
	}
	return fmt.Errorf("run %s: %w", path, unix.Exec(path, argv, env))
}

// becomePod runs the command in a pod's network namespace, with the machine's
// programs and the pod's name servers.
func (l *Lab) becomePod(ctx context.Context, name string, argv []string) error {
	namespace, pod, ok := strings.Cut(name, "/")
	if !ok {
		return cli.Usagef("pod %q: must be written as pod/NAMESPACE/NAME", name)
	}
	return l.enterPod(ctx, namespace, pod, argv)
}
