package engine

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fairlead-lb/fairlead/internal/engine/audit"
	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/wire"
)

// observer writes down and counts every call of the API. In the engine's log,
// reads are at debug level: controllers make many of them.
type observer struct {
	log     *slog.Logger
	audit   *audit.Log
	calls   *prometheus.CounterVec
	seconds *prometheus.HistogramVec
}

func newObserver(log *slog.Logger, audit *audit.Log, metrics prometheus.Registerer) (observer, error) {
	a := observer{
		log: log, audit: audit,
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "fairlead_api_calls_total", Help: "API calls by service, action, HTTP status and error code.",
		}, []string{"service", "action", "status", "error"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "fairlead_api_call_seconds", Help: "Time to answer an API call.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, 1, 5},
		}, []string{"service"}),
	}
	return a, errors.Join(metrics.Register(a.calls), metrics.Register(a.seconds))
}

func (a observer) record(ctx context.Context, r wire.Record) {
	a.audit.Record(r)
	service, action := r.Service, r.Action
	if r.ErrorCode == "InvalidAction" || r.Caller.ARN == "" { // names that anyone can make up are no labels
		service, action = "", ""
	}
	a.calls.WithLabelValues(service, action, strconv.Itoa(r.Status), r.ErrorCode).Inc()
	a.seconds.WithLabelValues(service).Observe(r.Duration.Seconds())
	level := slog.LevelInfo
	if strings.HasPrefix(r.Action, "Describe") && r.ErrorCode == "" {
		level = slog.LevelDebug
	}
	a.log.Log(ctx, level, "api call", "service", r.Service, "action", r.Action, "caller", r.Caller.ARN,
		"sourceIp", r.SourceIP, "resources", r.Resources, "status", r.Status, "errorCode", r.ErrorCode,
		"milliseconds", float64(r.Duration.Microseconds())/1000, "requestId", r.RequestID)
}

// registerGauges shows the size of the state and the edges.
func registerGauges(metrics prometheus.Registerer, e *Engine) error {
	gauge := func(name, help string, value func() float64) error {
		return metrics.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
	}
	return errors.Join(
		gauge("fairlead_state_revision", "Number of transactions that led to the present state.", func() float64 { return float64(e.db.Current().Number()) }),
		gauge("fairlead_load_balancers", "Load balancers.", func() float64 { return float64(e.count().balancers) }),
		gauge("fairlead_targets", "Registered targets, draining ones too.", func() float64 { return float64(e.count().targets) }),
		gauge("fairlead_edges_connected", "Zones whose edge is connected.", func() float64 { return float64(e.count().edges) }),
	)
}

// counts are the sizes that gauges show.
type counts struct{ balancers, targets, edges int }

func (e *Engine) count() counts {
	r := e.db.Current()
	c := counts{
		balancers: state.LoadBalancers.Len(r) + state.ClassicLoadBalancers.Len(r),
		targets:   state.Targets.Len(r) + state.ClassicInstances.Len(r),
	}
	for _, zone := range e.network.current().Zones() {
		if e.health.Connected(zone) {
			c.edges++
		}
	}
	return c
}
