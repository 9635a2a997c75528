package accesslog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

const (
	rescan   = time.Minute     // for files that another process has let go of
	minRetry = time.Second     // after a delivery failed
	maxRetry = 5 * time.Minute // doubled up to this
)

// deliver delivers finished files until ctx ends: those that are left over at
// first, then those that are closed, and again what failed.
func (s *Spool) deliver(ctx context.Context) {
	retry := minRetry
	for {
		wait := rescan
		if err := s.deliverAll(ctx); err == nil {
			retry = minRetry
		} else if ctx.Err() == nil {
			s.metrics.errors.Inc()
			s.opts.Log.Error("access logs not delivered, trying again", "after", retry.String(), "error", err)
			wait, retry = retry, min(2*retry, maxRetry)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		case <-s.closed:
			timer.Stop()
		}
	}
}

// deliverAll tries each finished file once.
func (s *Spool) deliverAll(ctx context.Context) error {
	files, err := finished(s.opts.Dir)
	errs := []error{err}
	files = s.makeRoom(files)
	for i := range files {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		errs = append(errs, s.deliverOne(ctx, &files[i]))
	}
	return errors.Join(errs...)
}

func (s *Spool) deliverOne(ctx context.Context, f *spooled) error {
	content, err := f.adopt()
	if content == nil || err != nil {
		return err
	}
	defer content.Close() // it was read only, and the lock goes with it
	if info, err := content.Stat(); err != nil || info.Size() == 0 {
		return errors.Join(err, f.remove(s.opts.Dir))
	}
	if err := s.hand(ctx, f, content); err != nil {
		return fmt.Errorf("deliver %s to bucket %s: %w", f.key, f.bucket, err)
	}
	s.metrics.delivered.Inc()
	return f.remove(s.opts.Dir)
}

// hand delivers a file's content, compressed if its name says so.
func (s *Spool) hand(ctx context.Context, f *spooled, content *os.File) error {
	if !strings.HasSuffix(f.key, compressed) {
		return s.opts.Deliver.Deliver(ctx, f.bucket, f.key, content)
	}
	small, err := compress(s.opts.Dir, content)
	if err != nil {
		return err
	}
	return errors.Join(s.opts.Deliver.Deliver(ctx, f.bucket, f.key, small), small.Close())
}

// makeRoom removes the oldest files while there are too many bytes.
func (s *Spool) makeRoom(files []spooled) []spooled {
	var total int64
	for _, f := range files {
		total += f.size
	}
	for len(files) > 0 && total > s.opts.MaxBytes {
		f := files[0]
		files, total = files[1:], total-f.size
		content, err := f.adopt()
		if content == nil || err != nil {
			continue // still written to
		}
		s.metrics.lostFiles.Inc()
		s.opts.Log.Error("access log removed undelivered: no room for more", "bucket", f.bucket, "key", f.key, "maxBytes", s.opts.MaxBytes)
		if err := errors.Join(f.remove(s.opts.Dir), content.Close()); err != nil {
			s.opts.Log.Error("access log not removed", "key", f.key, "error", err)
		}
	}
	return files
}
