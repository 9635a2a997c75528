package main

import "github.com/spf13/cobra"

func newEdgeCommand() *cobra.Command {
	return &cobra.Command{Use: "edge"}
}
