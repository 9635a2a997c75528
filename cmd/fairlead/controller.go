package main

import "github.com/spf13/cobra"

func newControllerCommand() *cobra.Command {
	return &cobra.Command{Use: "controller"}
}
