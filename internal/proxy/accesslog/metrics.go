package accesslog

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	delivered, lostFiles, lostEntries, errors prometheus.Counter
}

func newMetrics() *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "fairlead_access_log_" + name, Help: help})
	}
	return &metrics{
		delivered:   counter("files_delivered_total", "Access log files delivered to their buckets."),
		lostFiles:   counter("files_lost_total", "Access log files removed undelivered because there was no room."),
		lostEntries: counter("entries_lost_total", "Access log entries that could not be written."),
		errors:      counter("errors_total", "Writes and deliveries of access logs that failed, each attempt counted."),
	}
}

func (m *metrics) register(r prometheus.Registerer) error {
	return errors.Join(r.Register(m.delivered), r.Register(m.lostFiles), r.Register(m.lostEntries), r.Register(m.errors))
}
