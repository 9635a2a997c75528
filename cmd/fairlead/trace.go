package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fairlead-lb/fairlead/internal/cli"
	"github.com/fairlead-lb/fairlead/internal/datapath"
	"github.com/fairlead-lb/fairlead/internal/edge"
	"github.com/fairlead-lb/fairlead/internal/lb"
)

// traceFlags are the flags of fairlead trace.
type traceFlags struct {
	proto, pinDir, stateDir string
	query                   datapath.Query
	json                    bool
}

func newTraceCommand() *cobra.Command {
	var f traceFlags
	cmd := &cobra.Command{
		Use:   "trace SRC:PORT DST:PORT",
		Short: "Tell what an edge does with a packet, and why",
		Long: `Tell what an edge does with a packet, and why.

A build of the edge's program that changes nothing runs on the maps that the edge
has pinned: no flow is opened or kept alive, no counter moves, nothing is sent.
Run it on the edge's machine; the edge itself need not run.`,
		Example: `  fairlead trace 203.0.113.10:40000 198.18.16.5:80 --syn
  fairlead trace 198.18.16.17:30080 203.0.113.10:40000`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return cli.Usagef("want two arguments, SRC:PORT and DST:PORT, such as 203.0.113.10:40000 198.18.16.5:80")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.parse(args); err != nil {
				return err
			}
			return runTrace(cmd.OutOrStdout(), f)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.proto, "proto", "tcp", "tcp or udp")
	flags.BoolVar(&f.query.SYN, "syn", false, "the packet is the first of a TCP connection; without it, one with an ACK and no data")
	flags.Uint32Var(&f.query.Sequence, "seq", 0, "its TCP sequence number, which helps to choose the target of a new flow")
	flags.BoolVar(&f.json, "json", false, "print a JSON array of stages")
	flags.StringVar(&f.pinDir, "pin-dir", defaultEdgePinDir, "pin directory of the edge")
	flags.StringVar(&f.stateDir, "state-dir", defaultEdgeStateDir, "state directory of the edge, for the names of listeners and groups; they are left out if it cannot be read")
	return cmd
}

func (f *traceFlags) parse(args []string) error {
	var p cli.Problems
	for i, to := range []*netip.AddrPort{&f.query.From, &f.query.To} {
		at, err := netip.ParseAddrPort(args[i])
		p.Unless(err == nil, "%q: must be ADDRESS:PORT or [ADDRESS]:PORT", args[i])
		*to = netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
	}
	from, to := f.query.From.Addr(), f.query.To.Addr()
	p.Unless(!from.IsValid() || !to.IsValid() || from.BitLen() == to.BitLen(), "%s and %s are of two address families", args[0], args[1])
	f.query.Protocol = lb.Protocol(strings.ToUpper(f.proto))
	p.Unless(f.query.Protocol == lb.TCP || f.query.Protocol == lb.UDP, "--proto %q: must be tcp or udp", f.proto)
	p.Unless(f.query.Protocol != lb.UDP || !f.query.SYN, "--syn: UDP has none")
	return p.Err()
}

func runTrace(out io.Writer, f traceFlags) error {
	trace, err := datapath.Ask(f.pinDir, f.query)
	if err != nil {
		return explainTrace(err)
	}
	snapshot, _ := edge.ReadSnapshot(filepath.Clean(f.stateDir)) // names only
	lines := trace.Explain(datapath.NamesOf(snapshot))
	if f.json {
		return json.NewEncoder(out).Encode(lines)
	}
	for _, l := range lines {
		if _, err := fmt.Fprintf(out, "%-9s %s\n", l.Stage, l.Text); err != nil {
			return err
		}
	}
	return nil
}

func explainTrace(err error) error {
	explained := &cli.Error{What: "trace a packet", Err: err}
	switch {
	case errors.Is(err, os.ErrPermission):
		explained.Hint = "run it as root, or with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON"
	case errors.Is(err, datapath.ErrNoEdge):
		explained.Hint = "give the --pin-dir that 'fairlead edge' was started with; one in another mount namespace is entered with 'nsenter --mount --target PID'; an edge without XDP has none"
	case errors.Is(err, datapath.ErrOtherVersion):
		explained.Hint = "use the fairlead that the edge was started with, or restart the edge with this one"
	}
	return explained
}
