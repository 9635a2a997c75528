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
	runtime.LockOSThread()
	if err := netlab.Enter(ns, l.resolverFiles()); err != nil {
		return fmt.Errorf("enter %s: %w", place, err)
	}
	return replace(argv, os.Environ())
}

// resolverFiles are the binds of a place's resolver, onto those files that the
// machine has.
func (l *Lab) resolverFiles() []netlab.Bind {
	var binds []netlab.Bind
	for _, name := range []string{"resolv.conf", "nsswitch.conf"} {
		target, err := filepath.EvalSymlinks(filepath.Join("/etc", name))
		if err != nil {
			continue
		}
		binds = append(binds, netlab.Bind{Source: filepath.Join(l.dir.Resolv(), name), Target: target})
	}
	return binds
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
