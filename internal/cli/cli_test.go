package cli

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
)

// tree is a command with a flag of every kind, a group, and one that takes an
// argument.
func tree() *cobra.Command {
	root := &cobra.Command{Use: "tool"}
	serve := &cobra.Command{Use: "serve", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error {
		return errors.New("the work went wrong")
	}}
	serve.Flags().Duration("wait", time.Second, "")
	serve.Flags().Int("count", 1, "")
	serve.Flags().Uint16("port", 1, "")
	LogLevel(serve.Flags(), new(slog.Level))
	check := &cobra.Command{Use: "check", RunE: func(*cobra.Command, []string) error {
		return &Error{What: "check the thing", Err: errors.New("it is not well"), Hint: "look at it", Code: ExitUnhealthy}
	}}
	group := &cobra.Command{Use: "node"}
	group.AddCommand(&cobra.Command{Use: "remove NAME", Args: Arguments("NAME"), RunE: func(*cobra.Command, []string) error { return nil }})
	root.AddCommand(serve, check, group)
	return root
}

func TestWhatPeopleTypeAndWhatTheyAreTold(t *testing.T) {
	const serveNext = "  next: run 'tool serve --help' for what it takes\n"
	tests := map[string]struct {
		args, want string
		code       int
	}{
		"a command that is none":     {"serv", "tool: unknown command \"serv\" for \"tool\"\n\nDid you mean this?\n\tserve\n  next: run 'tool --help' for what it takes\n", ExitUsage},
		"nothing of a group":         {"node bogus", "tool: unknown command \"bogus\" for \"tool node\"\n  next: run 'tool node --help' for what it takes\n", ExitUsage},
		"an argument of none":        {"serve now", "tool: unknown command \"now\" for \"tool serve\"\n" + serveNext, ExitUsage},
		"a flag that is none":        {"serve --bogus", "tool: unknown flag: --bogus\n" + serveNext, ExitUsage},
		"a flag without its value":   {"serve --count", "tool: flag needs an argument: --count\n" + serveNext, ExitUsage},
		"a duration without a unit":  {"serve --wait 5", "tool: --wait \"5\": must be a number with its unit, such as 500ms, 30s or 1h30m\n" + serveNext, ExitUsage},
		"a word for a number":        {"serve --count x", "tool: --count \"x\": must be a whole number\n" + serveNext, ExitUsage},
		"a port out of range":        {"serve --port 70000", "tool: --port \"70000\": must be a whole number from 0 to 65535\n" + serveNext, ExitUsage},
		"a level that is none":       {"serve --log-level loud", "tool: --log-level \"loud\": must be debug, info, warn or error\n" + serveNext, ExitUsage},
		"a missing argument":         {"node remove", "tool: NAME is missing\n  next: run 'tool node remove --help' for what it takes\n", ExitUsage},
		"an argument too many":       {"node remove a b", "tool: \"b\" is one argument too many, want NAME\n  next: run 'tool node remove --help' for what it takes\n", ExitUsage},
		"work that goes wrong":       {"serve", "tool: the work went wrong\n", ExitFailure},
		"a check that finds trouble": {"check", "tool: check the thing: it is not well\n  next: look at it\n", ExitUnhealthy},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			root := tree()
			root.SetArgs(strings.Fields(test.args))
			cmd, err := execute(context.Background(), root)
			if err == nil {
				t.Fatal("no error")
			}
			var out strings.Builder
			code := report(&out, cmd, err)
			if diff := cmp.Diff(test.want, out.String()); diff != "" {
				t.Errorf("message (-want +got):\n%s", diff)
			}
			if code != test.code {
				t.Errorf("exit code %d, want %d", code, test.code)
			}
		})
	}
}

func TestProblemsAreToldAtOnce(t *testing.T) {
	var p Problems
	if err := p.Err(); err != nil {
		t.Fatalf("nothing is wrong: %v", err)
	}
	p.Required("zone", "")
	p.Required("engine", "host:1")
	p.Unless(false, "--workers %d: must be at least 1", 0)
	p.Unless(true, "--name: is fine")
	p.Add(nil)
	p.Add(errors.New("of somebody else"))
	for _, listen := range []string{"127.0.0.1", "127.0.0.1:99999", "127.0.0.1:", ":nonsense", "127.0.0.1:80", "[::1]:0", ":8080"} {
		p.HostPort("listen", listen)
	}
	want := `--zone is required
--workers 0: must be at least 1
of somebody else
--listen "127.0.0.1": must be host:port, such as 127.0.0.1:7440, with a port from 0 to 65535
--listen "127.0.0.1:99999": must be host:port, such as 127.0.0.1:7440, with a port from 0 to 65535
--listen "127.0.0.1:": must be host:port, such as 127.0.0.1:7440, with a port from 0 to 65535
--listen ":nonsense": must be host:port, such as 127.0.0.1:7440, with a port from 0 to 65535`
	err := p.Err()
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
	if _, ok := errors.AsType[usageError](err); !ok {
		t.Errorf("%T is no usage error", err)
	}
}
