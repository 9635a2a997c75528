// Command kube is a whole Kubernetes control plane, its proxy, its client and
// its test server in one multi-call binary. The lab runs it as a program: one
// build and one file to hand to every namespace, instead of seven that each
// carry their own copy of the same packages.
//
// The component is chosen by the name the binary is called by, so that a
// symlink named kubectl is kubectl, or else by the first argument.
package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"
)

// exitUsage is the exit code for a command line that names no component.
const exitUsage = 2

func main() {
	all := components()
	c, args, err := choose(all, os.Args)
	if err != nil {
		fmt.Fprintf(os.Stderr, "kube: %v\n\n", err)
		list(os.Stderr, all)
		os.Exit(exitUsage)
	}
	if c == nil {
		list(os.Stdout, all)
		return
	}
	// The components read os.Args themselves, and expect their own name first.
	os.Args = args
	os.Exit(c.run())
}

// choose finds the component that argv asks for and the arguments it should
// see, its own name first. It returns a nil component when argv asks for none,
// which is a request for the list. Any name of the binary that is not a
// component's counts as "kube", so a renamed copy still works.
func choose(all []component, argv []string) (*component, []string, error) {
	if c := find(all, filepath.Base(argv[0])); c != nil {
		return c, argv, nil
	}
	if len(argv) < 2 || isHelp(argv[1]) {
		return nil, nil, nil
	}
	if c := find(all, argv[1]); c != nil {
		return c, argv[1:], nil
	}
	return nil, nil, fmt.Errorf("unknown component %q", argv[1])
}

func find(all []component, name string) *component {
	for i := range all {
		if all[i].name == name {
			return &all[i]
		}
	}
	return nil
}

func isHelp(arg string) bool {
	return arg == "help" || arg == "-h" || arg == "--help"
}

// list prints what the binary contains and how to call it.
func list(w io.Writer, all []component) {
	fmt.Fprintln(w, "usage: kube COMPONENT [ARGUMENT...]")
	fmt.Fprintln(w, "       COMPONENT [ARGUMENT...]     through a symlink of that name")
	fmt.Fprintln(w, "\ncomponents:")
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, c := range all {
		fmt.Fprintf(tw, "  %s\t%s\n", c.name, c.about)
	}
	tw.Flush()
}
