package engine

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/engine/vpc"
	"github.com/fairlead-lb/fairlead/internal/inventory"
)

// settle is how long a file has to be quiet before it is read anew.
const settle = 100 * time.Millisecond

// network is the inventory in force, with what was made through the API, and
// follows its file.
type network struct {
	*inventoryFile
	view *vpc.View
}

func newNetwork(file *inventoryFile, db state.DB) *network {
	return &network{file, vpc.NewView(file.current, db)}
}

// current is the network of this moment.
func (n *network) current() *inventory.Index { return n.view.Current() }

// watch returns the network of this moment and a channel that is closed when
// the file is replaced. Who follows it follows the state as well.
func (n *network) watch() (*inventory.Index, <-chan struct{}) {
	_, changed := n.inventoryFile.watch()
	return n.view.Current(), changed
}

// inventoryFile holds the inventory in force and follows its file. A version with
// problems is logged and not taken; the one before stays in force.
type inventoryFile struct {
	path  string
	log   *slog.Logger
	check func(*inventory.Index) error // whether it fits what was made through the API

	mu      sync.Mutex
	index   *inventory.Index
	changed chan struct{} // closed when index is replaced
}

// openInventory reads the inventory. The error has all its problems.
func openInventory(path string, log *slog.Logger) (*inventoryFile, error) {
	index, err := readInventory(path)
	if err != nil {
		return nil, err
	}
	log.Info("inventory read", "path", path, "vpcs", len(index.VPCs), "subnets", len(index.Subnets), "instances", len(index.Instances), "edges", len(index.Edges))
	check := func(*inventory.Index) error { return nil }
	return &inventoryFile{path: path, log: log, check: check, index: index, changed: make(chan struct{})}, nil
}

func readInventory(path string) (*inventory.Index, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the inventory: %w", err)
	}
	f, err := inventory.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return inventory.NewIndex(f), nil
}

// current is the inventory in force.
func (n *inventoryFile) current() *inventory.Index {
	index, _ := n.watch()
	return index
}

// watch returns the inventory in force and a channel that is closed when it is
// replaced.
func (n *inventoryFile) watch() (*inventory.Index, <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.index, n.changed
}

// follow reads the file whenever it changes, until ctx ends. The directory is
// watched, because files are replaced by renaming others.
func (n *inventoryFile) follow(ctx context.Context) error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch the inventory: %w", err)
	}
	defer func() { _ = w.Close() }()
	if err := w.Add(filepath.Dir(n.path)); err != nil {
		return fmt.Errorf("watch the inventory: %w", err)
	}
	timer := time.NewTimer(0) // what changed since it was opened counts
	for {
		select {
		case <-ctx.Done():
			return nil
		case event := <-w.Events:
			if filepath.Clean(event.Name) == filepath.Clean(n.path) {
				timer.Reset(settle)
			}
		case err := <-w.Errors: // events were lost: look
			n.log.Warn("watching the inventory lost events", "path", n.path, "error", err)
			timer.Reset(settle)
		case <-timer.C:
			n.reload()
		}
	}
}

// fit makes check decide on every version that is to come, after the present one.
func (n *inventoryFile) fit(check func(*inventory.Index) error) error {
	n.check = check
	if err := check(n.current()); err != nil {
		return fmt.Errorf("%s: %w", n.path, err)
	}
	return nil
}

func (n *inventoryFile) reload() {
	index, err := readInventory(n.path)
	if err == nil {
		err = n.check(index)
	}
	if err != nil {
		n.log.Error("the inventory is not taken, the one before stays in force", "path", n.path, "error", err)
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if sameInventory(n.index, index) {
		return
	}
	n.index = index
	close(n.changed)
	n.changed = make(chan struct{})
	n.log.Info("inventory taken", "path", n.path, "instances", len(index.Instances), "subnets", len(index.Subnets))
}
