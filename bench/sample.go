package main

import (
	"slices"
	"sync"
	"time"
)

// sample collects how long calls took. It is safe for concurrent use.
type sample struct {
	mu    sync.Mutex
	times []time.Duration
}

func (s *sample) add(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.times = append(s.times, d)
}

// at is the quantile q of the times in milliseconds, by nearest rank.
func (s *sample) at(q float64) float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.times) == 0 {
		return 0
	}
	slices.Sort(s.times)
	i := min(int(q*float64(len(s.times))), len(s.times)-1)
	return float64(s.times[i]) / float64(time.Millisecond)
}

func (s *sample) rows(name string) []Row {
	return []Row{
		{Name: name + ".p50", Unit: "ms", Value: s.at(0.5)},
		{Name: name + ".p99", Unit: "ms", Value: s.at(0.99)},
	}
}
