// Package cli holds what all commands share: errors in three parts, exit codes
// and the logger.
//
// Standard output carries the answer that was asked for and nothing else;
// everything for people beside it goes to standard error.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// Exit codes of every command.
const (
	ExitOK        = 0
	ExitFailure   = 1
	ExitUsage     = 2
	ExitUnhealthy = 3   // a check ran and found differences or something not healthy
	ExitInterrupt = 130 // SIGINT or SIGTERM
)

// Error is an error for people: what was attempted, why it failed, what to do.
type Error struct {
	What string // such as "start the lab"
	Err  error  // the cause
	Hint string // the next step; may be empty
	Code int    // exit code; 0 means ExitFailure
}

func (e *Error) Error() string { return fmt.Sprintf("%s: %v", e.What, e.Err) }
func (e *Error) Unwrap() error { return e.Err }

// usageError marks a mistake in flags or arguments.
type usageError struct{ error }

func (u usageError) Unwrap() error { return u.error }

// Usagef returns an error that ends the process with ExitUsage.
func Usagef(format string, args ...any) error {
	return usageError{fmt.Errorf(format, args...)}
}

// Main runs a command tree until it ends or the process is told to stop, prints
// its error to standard error and returns the exit code.
func Main(root *cobra.Command) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	cmd, err := execute(ctx, root)
	if err == nil {
		return ExitOK
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return ExitInterrupt
	}
	return report(root.ErrOrStderr(), cmd, err)
}

// execute runs the command that the arguments name. What fails before it begins
// is a mistake in what was typed.
func execute(ctx context.Context, root *cobra.Command) (*cobra.Command, error) {
	begun := false
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetFlagErrorFunc(flagError)
	prepare(root, &begun)
	cmd, err := root.ExecuteContextC(ctx)
	if err != nil && !begun {
		err = usageError{err}
	}
	return cmd, err
}

// prepare makes every command of a tree note that it begins, and one that only
// groups others refuse what is none of them, as the root does by itself.
func prepare(cmd *cobra.Command, begun *bool) {
	switch run := cmd.RunE; {
	case run != nil:
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			*begun = true
			return run(cmd, args)
		}
	case cmd.HasParent() && cmd.HasSubCommands():
		cmd.Args, cmd.RunE = cobra.NoArgs, func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	}
	for _, sub := range cmd.Commands() {
		prepare(sub, begun)
	}
}

func report(w io.Writer, cmd *cobra.Command, err error) int {
	fmt.Fprintf(w, "%s: %s\n", cmd.Root().Name(), strings.TrimSpace(err.Error()))
	if e, ok := errors.AsType[*Error](err); ok {
		if e.Hint != "" {
			fmt.Fprintf(w, "  next: %s\n", e.Hint)
		}
		if e.Code != 0 {
			return e.Code
		}
		return ExitFailure
	}
	if _, ok := errors.AsType[usageError](err); ok {
		fmt.Fprintf(w, "  next: run '%s --help' for what it takes\n", cmd.CommandPath())
		return ExitUsage
	}
	return ExitFailure
}

// Logger returns the process's logger: text on a terminal, JSON elsewhere.
func Logger(w *os.File, level slog.Level) *slog.Logger {
	opts := &slog.HandlerOptions{Level: level}
	if term.IsTerminal(int(w.Fd())) {
		return slog.New(slog.NewTextHandler(w, opts))
	}
	return slog.New(slog.NewJSONHandler(w, opts))
}
