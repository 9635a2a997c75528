package lab

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/fairlead-lb/fairlead/internal/lab/component"
	"github.com/fairlead-lb/fairlead/internal/lab/layout"
)

// Options are what can be chosen about a lab.
type Options struct {
	StateDir   string   // everything of the lab is in it; must be absent, empty or a lab's
	Zones      []string // of one region, such as us-west-2a
	Nodes      int      // spread over the zones
	APIPort    uint16   // of the API server on host loopback
	EnginePort uint16   // of the AWS API on host loopback
	Prefix     string   // of all namespace names; labs with different ones can be up side by side

	Binaries Binaries // empty paths are searched for

	AllowOverlap  bool     // start although the host has addresses of the lab's ranges
	KeepOnFailure bool     // leave a lab that does not come up for a look at it
	Without       []string // kinds of components to leave out

	Progress io.Writer // where steps are shown; usually standard error
}

// Defaults of the options.
const (
	DefaultStateDir   = "/var/lib/fairlead-lab"
	DefaultPrefix     = "fl-"
	DefaultNodes      = 2
	DefaultAPIPort    = 16443
	DefaultEnginePort = 17440

	clusterName = "fairlead"
)

// DefaultZones are those of the blog post's region.
func DefaultZones() []string { return []string{"us-west-2a", "us-west-2b"} }

// DefaultOptions is the lab that `fairlead-lab up` starts.
func DefaultOptions() Options {
	return Options{
		StateDir: DefaultStateDir, Zones: DefaultZones(), Nodes: DefaultNodes,
		APIPort: DefaultAPIPort, EnginePort: DefaultEnginePort, Prefix: DefaultPrefix, Progress: io.Discard,
	}
}

var prefixForm = regexp.MustCompile(`^[a-z][a-z0-9-]{0,19}-$`)

// maxSocketPath is the room for a path in sockaddr_un, less the final zero.
const maxSocketPath = 107

// validate reports every mistake in the options at once.
func (o Options) validate() error {
	var problems []error
	add := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if !filepath.IsAbs(o.StateDir) || filepath.Clean(o.StateDir) == "/" {
		add("--state-dir %q: must be an absolute path other than /", o.StateDir)
	}
	if n := len(component.Dir(o.StateDir).ControlSocket()); n > maxSocketPath {
		add("--state-dir %q: is %d bytes too long for the socket in it", o.StateDir, n-maxSocketPath)
	}
	if !prefixForm.MatchString(o.Prefix) {
		add("--prefix %q: must be a letter, up to 19 letters, digits or dashes, and a dash", o.Prefix)
	}
	if o.APIPort == o.EnginePort {
		add("--api-port and --engine-port are both %d: they must differ", o.APIPort)
	}
	if o.APIPort == 0 || o.EnginePort == 0 {
		add("--api-port and --engine-port: must be 1 to 65535")
	}
	if o.Nodes < 0 || o.Nodes > len(o.Zones)*layout.MaxNodesPerZone {
		add("--nodes %d: must be 0 to %d, %d for each zone", o.Nodes, len(o.Zones)*layout.MaxNodesPerZone, layout.MaxNodesPerZone)
	}
	for _, kind := range o.Without {
		if !slices.Contains(component.Kinds(), kind) {
			add("--without %q: must be one of %s", kind, strings.Join(component.Kinds(), ", "))
		}
	}
	var specs []layout.NodeSpec
	if len(problems) == 0 && len(o.Zones) > 0 {
		specs = layout.RoundRobin(o.Zones, o.Nodes)
	}
	if _, err := layout.New(o.Prefix, o.Zones, specs); err != nil {
		add("--zones: %w", err)
	}
	if len(problems) == 0 {
		return nil
	}
	return fmt.Errorf("mistakes in the options:\n%w", errors.Join(problems...))
}
