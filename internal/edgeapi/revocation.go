package edgeapi

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/fairlead-lb/fairlead/internal/durable"
)

// revokedDir holds a file per zone whose identities were revoked: the moment
// until which. A file per zone, so that two revocations never meet.
const revokedDir = "revoked-edges"

// Reasons why a session ends that are the edge's identity's.
var (
	errRevoked = errors.New("the edge's identity was revoked: issue a new one into its directory with 'fairlead engine issue-edge'")
	errExpired = errors.New("the edge's certificate has ended")
)

// revocations are the moments until which the identities of zones are revoked.
type revocations struct {
	dir string

	mu      sync.Mutex
	until   map[string]time.Time
	changed chan struct{} // closed when until is replaced
}

func openRevocations(dir string) (*revocations, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the directory of revoked edges: %w", err)
	}
	until, err := readRevocations(dir)
	return &revocations{dir: dir, until: until, changed: make(chan struct{})}, err
}

func readRevocations(dir string) (map[string]time.Time, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read the revoked edges: %w", err)
	}
	until := map[string]time.Time{}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") { // being written
			continue
		}
		path := filepath.Join(dir, e.Name())
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read the revoked edges: %w", err)
		}
		if until[e.Name()], err = time.Parse(time.RFC3339Nano, strings.TrimSpace(string(data))); err != nil {
			return nil, fmt.Errorf("read the revoked edges: %s: %w", path, err)
		}
	}
	return until, nil
}

// Revoke makes the identities count no longer that were issued for a zone until
// now. It is durable when it returns nil, and an engine that runs on the same
// directory ends their sessions at once.
func (a *Authority) Revoke(zone string, now time.Time) error {
	if !validZone(zone) {
		return fmt.Errorf("zone %q is no zone name: want one such as us-west-2a", zone)
	}
	path := filepath.Join(a.revoked.dir, zone)
	if err := durable.WriteFile(path, []byte(now.UTC().Format(time.RFC3339Nano)+"\n"), 0o600); err != nil {
		return fmt.Errorf("revoke the edges of zone %s: %w", zone, err)
	}
	return a.revoked.reload()
}

// reload takes what the directory holds now.
func (r *revocations) reload() error {
	until, err := readRevocations(r.dir)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if maps.EqualFunc(until, r.until, time.Time.Equal) {
		return nil
	}
	r.until = until
	close(r.changed)
	r.changed = make(chan struct{})
	return nil
}

// check reports whether a certificate is revoked, and the channel that is closed
// when that may have changed.
func (r *revocations) check(cert *x509.Certificate, zone string) (changed <-chan struct{}, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if until, ok := r.until[zone]; ok && !issuedAt(cert).After(until) {
		return r.changed, errRevoked
	}
	return r.changed, nil
}

// while returns a context that ends, with its cause, when the certificate of a
// zone's edge counts no longer. stop must be called.
func (r *revocations) while(ctx context.Context, cert *x509.Certificate, zone string) (_ context.Context, stop func()) {
	ctx, end := context.WithCancelCause(ctx)
	ctx, stopTimer := context.WithDeadlineCause(ctx, cert.NotAfter, errExpired)
	go func() {
		for {
			changed, err := r.check(cert, zone)
			if err != nil {
				end(err)
				return
			}
			select {
			case <-ctx.Done():
				return
			case <-changed:
			}
		}
	}()
	return ctx, func() { end(nil); stopTimer() }
}

// follow reads the directory whenever it changes, until ctx ends. What cannot be
// read leaves what was known before in force.
func (r *revocations) follow(ctx context.Context, log *slog.Logger) error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch the revoked edges: %w", err)
	}
	defer w.Close()
	if err := w.Add(r.dir); err != nil {
		return fmt.Errorf("watch the revoked edges: %w", err)
	}
	for {
		if err := r.reload(); err != nil && !errors.Is(err, fs.ErrNotExist) { // a file may go while they are read
			log.Error("the list of revoked edges is not taken, the one before stays in force", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-w.Events:
		case err := <-w.Errors: // events were lost: look
			log.Warn("watching the revoked edges lost events", "error", err)
		}
	}
}
