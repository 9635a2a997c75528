// Package edgeapi is the stream between the engine and its edges.
//
// An edge opens one gRPC stream and names its zone. The engine answers with the
// zone's snapshot, again on every change; the edge sends health reports, a full
// one first. Messages are the nouns of internal/lb encoded as JSON, so that the
// stream, the edge's copy on disk and people's eyes share one schema.
//
// Invariants:
//   - Both ends prove who they are with certificates of the engine's own
//     Authority (TLS 1.3). An edge gets the zone of its certificate and no other.
//   - An edge renews its own certificate while it is connected, with a new key.
//     A session ends when its certificate does, or is revoked.
//   - A zone has one session at a time. A newer one ends the older, and the
//     Source sees the older's Disconnected before the newer's Watch.
//   - Nothing queues: of the snapshots that a slow edge has not taken only the
//     newest is kept, and of a target's health only the latest.
package edgeapi

import (
	"context"
	"time"

	"github.com/fairlead-lb/fairlead/internal/lb"
)

// Source is the engine as its edges see it. Methods are called from several
// goroutines, for one zone never from two at once.
type Source interface {
	// Watch returns the zone's snapshots, the present one first. The channel is
	// read promptly until cancel is called; the Source may send blocking or
	// replace what was not yet taken. A closed channel ends the session.
	// An error (such as a zone that does not exist) refuses the edge.
	Watch(zone string) (snapshots <-chan lb.ZoneSnapshot, cancel func(), err error)

	// Report takes what the zone's edge says about its targets. It must not
	// block for long: the edge's next report waits for it.
	Report(report lb.HealthReport)

	// Disconnected says that the zone's session ended. Its last report may be
	// stale from now on; the next session starts with a full one.
	Disconnected(zone string)
}

// Link is the engine as one edge sees it: Client across a network, Local within
// one process.
type Link interface {
	// Run keeps a session with the engine until ctx ends: it hands each
	// snapshot to onSnapshot (which must not block for long) and sends what is
	// in out. It returns ctx's error, or earlier one that no retry can mend.
	Run(ctx context.Context, out *Outbox, onSnapshot func(lb.ZoneSnapshot)) error

	// Connected says whether a session is up.
	Connected() bool
}

// Message bounds in bytes. A snapshot of 3,000 target groups with 10 targets
// each is about 20 MB of JSON.
const (
	maxSnapshotBytes = 64 << 20
	maxReportBytes   = 32 << 20
)

// A dead peer is noticed after keepaliveTime + keepaliveTimeout.
const (
	keepaliveTime    = 10 * time.Second
	keepaliveTimeout = 5 * time.Second
	helloTimeout     = 10 * time.Second
)

// edgeMessage is what an edge sends: hello first, reports after, and a request
// for a new certificate when its own nears its end. Exactly one field is set.
type edgeMessage struct {
	Hello  *hello           `json:"hello,omitempty"`
	Health *lb.HealthReport `json:"health,omitempty"`
	Renew  *renewalRequest  `json:"renew,omitempty"`
}

// renewalRequest asks for a certificate for a new key.
type renewalRequest struct {
	CSR []byte `json:"csr"` // PKCS #10, DER
}

// renewedIdentity answers a renewalRequest, in PEM.
type renewedIdentity struct {
	CA   string `json:"ca"`
	Cert string `json:"cert"`
}

// hello opens a session.
type hello struct {
	Zone string `json:"zone"`
}

// engineMessage is what the engine sends.
type engineMessage struct {
	Snapshot *lb.ZoneSnapshot `json:"snapshot,omitempty"`
	Identity *renewedIdentity `json:"identity,omitempty"`
}
