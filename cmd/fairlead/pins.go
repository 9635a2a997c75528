package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fairlead-lb/fairlead/internal/bpffs"
)

// nothingPinned tells people who want to take programs away that there are none
// by that directory. That is no error: what they asked for is so.
func nothingPinned(cmd *cobra.Command, dir string) bool {
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		return false
	}
	cmd.PrintErrf("nothing was detached: there is no pin directory %s; if a program is still there, name its --pin-dir\n", dir)
	return true
}

// errNoUplink is an interface that is not there.
var errNoUplink = errors.New("there is no such interface")

// atUplink tells why work at an interface failed when it is not even there: the
// net package's own error cannot be matched.
func atUplink(name string, err error) error {
	if err == nil {
		return nil
	}
	if _, missing := net.InterfaceByName(name); missing != nil && strings.Contains(err.Error(), name) {
		return fmt.Errorf("--interface %q: %w", name, errNoUplink)
	}
	return err
}

// pinHint is the next step after an error with the pin directory of an edge or
// of a helper, and empty when err is another.
func pinHint(err error, holder string) string {
	switch {
	case errors.Is(err, errNoUplink):
		return "name the interface that leads to clients, targets and edges with --interface; 'ip link' lists them"
	case errors.Is(err, bpffs.ErrNoBPFFS):
		return "mount one with 'mount -t bpf bpf /sys/fs/bpf', or name another directory with --pin-dir"
	case errors.Is(err, bpffs.ErrHeld):
		return "stop the " + holder + " that runs with this --pin-dir first"
	}
	return ""
}
