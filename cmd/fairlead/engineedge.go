package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/fairlead-lb/fairlead/internal/cli"
	"github.com/fairlead-lb/fairlead/internal/edgeapi"
)

func newIssueEdgeCommand(stateDir *string) *cobra.Command {
	var zone, out string
	cmd := &cobra.Command{
		Use:   "issue-edge",
		Short: "Issue the identity that the edge of a zone proves itself with",
		Long: fmt.Sprintf(`Issue the identity that the edge of a zone proves itself with.

It writes ca.crt, edge.crt and edge.key, for 'fairlead edge --identity', and
works whether the engine runs or not. An identity lasts %d days; an edge that is
connected renews it by itself, into the same directory, when a third of them is
left. An edge that runs takes another identity from its directory when it
connects anew.`, int(edgeapi.EdgeValidity/(24*time.Hour))),
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var p cli.Problems
			p.Required("zone", zone)
			p.Required("out", out)
			if err := p.Err(); err != nil {
				return err
			}
			_, none := edgeapi.ReadAuthority(*stateDir)
			if err := issueEdge(*stateDir, zone, out); err != nil {
				return failedOnEdge("issue an edge's identity", *stateDir, err)
			}
			if errors.Is(none, os.ErrNotExist) {
				cmd.PrintErrf("%s had no authority for edges and has one now; start the engine with this --state-dir\n", *stateDir)
			}
			cmd.PrintErrf("%s holds the identity of the edge of %s until %s\n", out, zone, time.Now().Add(edgeapi.EdgeValidity).UTC().Format(time.DateOnly))
			return nil
		},
	}
	cmd.Flags().StringVar(&zone, "zone", "", "availability zone of the edge, such as us-west-2a (required)")
	cmd.Flags().StringVar(&out, "out", "", "directory for the three files (required)")
	return cmd
}

func newRevokeEdgeCommand(stateDir *string) *cobra.Command {
	var zone string
	cmd := &cobra.Command{
		Use:   "revoke-edge",
		Short: "Revoke the identities that were issued for the edge of a zone until now",
		Long: `Revoke the identities that were issued for the edge of a zone until now.

A running engine ends the sessions of their holders at once and lets them in no
more, so that they learn of no change and of no key; what they forward they know
already, until they are stopped. Identities issued later are not concerned:
'fairlead engine issue-edge' makes the next one.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var p cli.Problems
			if p.Required("zone", zone); p.Err() != nil {
				return p.Err()
			}
			authority, err := edgeapi.ReadAuthority(*stateDir)
			if err == nil {
				err = authority.Revoke(zone, time.Now())
			}
			if err != nil {
				return failedOnEdge("revoke an edge's identities", *stateDir, err)
			}
			cmd.PrintErrf("no identity that was issued for the edge of %s until now is let in any more\n", zone)
			return nil
		},
	}
	cmd.Flags().StringVar(&zone, "zone", "", "availability zone of the edge, such as us-west-2a (required)")
	return cmd
}

func failedOnEdge(what, stateDir string, err error) error {
	failed := &cli.Error{What: what, Err: err}
	switch {
	case errors.Is(err, os.ErrPermission):
		failed.Hint = "run it as the user that owns the engine's state directory " + stateDir
	case errors.Is(err, os.ErrNotExist):
		failed.Hint = "name the directories that there are: the engine's with --state-dir, the identity's with --out"
	}
	return failed
}

func issueEdge(stateDir, zone, out string) error {
	if err := os.MkdirAll(stateDir, 0o700); err != nil {
		return err
	}
	authority, err := edgeapi.OpenAuthority(stateDir)
	if err != nil {
		return err
	}
	identity, err := authority.Issue(zone)
	if err != nil {
		return err
	}
	return identity.Write(out)
}
