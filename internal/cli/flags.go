package cli

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Problems collects what is wrong with flags and arguments, so that all of it is
// told at once. The zero value is ready.
type Problems struct{ all []error }

// Unless notes a problem when ok is false. The text is of the form
// `--flag "value": must be …`.
func (p *Problems) Unless(ok bool, format string, args ...any) {
	if !ok {
		p.all = append(p.all, fmt.Errorf(format, args...))
	}
}

// Required notes a flag that has no value.
func (p *Problems) Required(flag, value string) { p.Unless(value != "", "--%s is required", flag) }

// HostPort notes a value that is no host:port.
func (p *Problems) HostPort(flag, value string) {
	_, port, err := net.SplitHostPort(value)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	p.Unless(err == nil && port != "", "--%s %q: must be host:port, such as 127.0.0.1:7440, with a port from 0 to 65535", flag, value)
}

// Listen notes a value that is neither empty, for none, nor host:port.
func (p *Problems) Listen(flag, value string) {
	if value != "" {
		p.HostPort(flag, value)
	}
}

// Add notes the problems that err is, if it is any.
func (p *Problems) Add(err error) { p.Unless(err == nil, "%w", err) }

// Err returns everything noted as one error that ends the process with
// ExitUsage, a line each, or nil.
func (p *Problems) Err() error {
	if len(p.all) == 0 {
		return nil
	}
	return Usagef("%w", errors.Join(p.all...))
}

// Arguments wants exactly these arguments, and says which one is missing or too
// many.
func Arguments(names ...string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return Usagef("%s is missing", strings.Join(names[len(args):], " and "))
		case len(args) > len(names):
			return Usagef("%q is one argument too many, want %s", args[len(names)], strings.Join(names, " "))
		}
		return nil
	}
}

// wanted says what values a flag's type takes, by the names that pflag gives
// types: its own errors speak of parsers.
var wanted = map[string]string{
	"bool":     "true or false",
	"duration": "a number with its unit, such as 500ms, 30s or 1h30m",
	"float64":  "a number",
	"int":      "a whole number",
	"int64":    "a whole number",
	"level":    "debug, info, warn or error",
	"uint16":   "a whole number from 0 to 65535",
	"uint32":   "a whole number from 0 to 4294967295",
}

// flagError is a mistake in flags that pflag found.
func flagError(_ *cobra.Command, err error) error {
	if e, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		if want, known := wanted[e.GetFlag().Value.Type()]; known {
			return Usagef("--%s %q: must be %s", e.GetFlag().Name, e.GetValue(), want)
		}
	}
	return usageError{err}
}

// LogLevel is the flag --log-level; level holds its default.
func LogLevel(flags *pflag.FlagSet, level *slog.Level) {
	flags.Var((*logLevel)(level), "log-level", "debug, info, warn or error")
}

type logLevel slog.Level

func (l *logLevel) String() string         { return strings.ToLower((*slog.Level)(l).String()) }
func (l *logLevel) Set(value string) error { return (*slog.Level)(l).UnmarshalText([]byte(value)) }
func (l *logLevel) Type() string           { return "level" }
