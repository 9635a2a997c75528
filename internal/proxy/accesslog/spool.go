package accesslog

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Options are what a Spool is made of. The zero value of a field that has a
// default stands for the default.
type Options struct {
	Dir     string // for spool files; created
	Deliver Deliverer
	Log     *slog.Logger          // default: none
	Metrics prometheus.Registerer // nil: nothing is registered

	// SyncInterval is how long a line may be written but not synced. Default 1 s.
	SyncInterval time.Duration
	// MaxBytes bounds what waits for delivery; beyond, the oldest files are
	// removed and counted. Default 1 GiB.
	MaxBytes int64
}

// Deliverer takes finished log files to their bucket. Deliver may be called again
// with the same bucket and key.
type Deliverer interface {
	Deliver(ctx context.Context, bucket, key string, content *os.File) error
}

const (
	defaultSyncInterval = time.Second
	defaultMaxBytes     = 1 << 30

	batchTime   = 5 * time.Millisecond // for lines to come together
	maxBuffered = 8 << 20              // bytes of one destination that are not written yet
)

// Spool takes lines and delivers files.
type Spool struct {
	opts    Options
	metrics *metrics
	kick    chan struct{} // there are lines to write
	closed  chan struct{} // there may be files to deliver

	mu   sync.Mutex
	logs map[Destination]*log
}

// log is the lines of one destination.
type log struct {
	mu      sync.Mutex
	pending []byte // complete lines

	// Only Run uses these.
	writing []byte
	file    *os.File // nil, or locked
	size    int64
	ends    time.Time
	dirty   bool
}

// Open makes a spool over a directory. Nothing is written before Run.
func Open(o Options) (*Spool, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.SyncInterval == 0 {
		o.SyncInterval = defaultSyncInterval
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = defaultMaxBytes
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the directory for access logs: %w", err)
	}
	if err := removeUnnamed(o.Dir); err != nil {
		return nil, fmt.Errorf("clear the directory for access logs: %w", err)
	}
	s := &Spool{opts: o, metrics: newMetrics(), kick: make(chan struct{}, 1), closed: make(chan struct{}, 1), logs: map[Destination]*log{}}
	if o.Metrics != nil {
		if err := s.metrics.register(o.Metrics); err != nil {
			return nil, fmt.Errorf("register the metrics of access logs: %w", err)
		}
	}
	return s, nil
}

// Line is an entry as it is written: Append adds it, up to its newline, with the
// load balancer's resource ID.
type Line interface {
	Append(dst []byte, balancer string) []byte
}

// Log adds an entry. It does not wait for the disk; when that is too slow,
// entries are dropped and counted.
func (s *Spool) Log(d Destination, e Line) {
	l := s.of(d)
	l.mu.Lock()
	full := len(l.pending) > maxBuffered
	if !full {
		l.pending = e.Append(l.pending, d.resource())
	}
	l.mu.Unlock()
	if full {
		s.metrics.lostEntries.Inc()
		return
	}
	wake(s.kick)
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (s *Spool) of(d Destination) *log {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.logs[d]
	if l == nil {
		l = &log{}
		s.logs[d] = l
	}
	return l
}

// Run writes lines and delivers files until ctx ends. Then it writes and syncs
// what there is; files that are left are delivered by the next Run.
func (s *Spool) Run(ctx context.Context) {
	var delivery sync.WaitGroup
	delivery.Go(func() { s.deliver(ctx) })
	defer delivery.Wait()
	timer := time.NewTimer(s.opts.SyncInterval)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			s.pass(time.Now(), true)
			return
		case <-s.kick:
			select {
			case <-time.After(batchTime):
			case <-ctx.Done():
			}
			s.write(time.Now())
		case <-timer.C:
			s.pass(time.Now(), false)
			timer.Reset(s.opts.SyncInterval)
		}
	}
}

// pass writes, syncs, and closes the files whose interval is over, or all.
func (s *Spool) pass(now time.Time, all bool) {
	s.write(now)
	for d, l := range s.all() {
		s.check(d, l.sync())
		if l.file != nil && (all || !now.Before(l.ends)) {
			s.check(d, l.close())
			wake(s.closed)
		}
		if l.file == nil {
			s.forget(d, l)
		}
	}
}

// write writes what is pending.
func (s *Spool) write(now time.Time) {
	for d, l := range s.all() {
		l.mu.Lock()
		l.writing, l.pending = l.pending, l.writing[:0]
		l.mu.Unlock()
		if len(l.writing) == 0 {
			continue
		}
		if err := l.append(s.opts.Dir, d, now); err != nil {
			s.metrics.lostEntries.Add(float64(lines(l.writing)))
			s.check(d, err)
		}
	}
}

func lines(b []byte) (n int) {
	for _, c := range b {
		if c == '\n' {
			n++
		}
	}
	return n
}

func (s *Spool) all() map[Destination]*log {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.logs)
}

// forget drops a log that has nothing to write and no file.
func (s *Spool) forget(d Destination, l *log) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.pending) == 0 {
		delete(s.logs, d)
	}
}

func (s *Spool) check(d Destination, err error) {
	if err != nil {
		s.metrics.errors.Inc()
		s.opts.Log.Error("access log not written", "loadBalancer", d.Balancer, "error", err)
	}
}

// append writes l.writing to the file of the interval that now is in. The last
// lines of an interval may get into the next one's file.
func (l *log) append(dir string, d Destination, now time.Time) error {
	if l.file == nil {
		end := d.ends(now)
		object, err := d.object(end, rand.Text()[:8])
		if err != nil {
			return err
		}
		if l.file, err = create(dir, object); err != nil {
			return err
		}
		l.ends, l.size = end, 0
	}
	l.dirty = true
	n, err := l.file.Write(l.writing)
	if err != nil { // no half line stays in the middle
		return errors.Join(err, l.file.Truncate(l.size))
	}
	l.size += int64(n)
	return nil
}

func (l *log) sync() error {
	if !l.dirty {
		return nil
	}
	l.dirty = false
	return l.file.Sync()
}

func (l *log) close() error {
	err := errors.Join(l.sync(), l.file.Close())
	l.file = nil
	return err
}
