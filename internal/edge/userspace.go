package edge

import (
	"context"

	"github.com/fairlead-lb/fairlead/internal/datapath"
)

// UserspaceOnly is the mode of a data path that forwards no packets.
const UserspaceOnly datapath.Mode = "userspace"

// NoPackets is the DataPath of an edge without the rights, or the kernel, for
// XDP: every TCP listener is served by the proxy at Config.Ordinary.
type NoPackets struct{}

// Prepare implements DataPath: sockets at an ordinary address need nothing.
func (NoPackets) Prepare(context.Context, datapath.Tables) error { return nil }

// Apply implements DataPath.
func (NoPackets) Apply(context.Context, datapath.Tables) error { return nil }

// Run implements DataPath.
func (NoPackets) Run(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }

// Counters implements DataPath.
func (NoPackets) Counters() (datapath.Counters, error) { return datapath.Counters{}, nil }

// Occupancy implements DataPath.
func (NoPackets) Occupancy() (datapath.Occupancy, error) { return datapath.Occupancy{}, nil }

// Mode implements DataPath.
func (NoPackets) Mode() datapath.Mode { return UserspaceOnly }
