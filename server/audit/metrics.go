package audit

import "github.com/prometheus/client_golang/prometheus"

// metrics are what a Log counts.
type metrics struct {
	written prometheus.Counter
	lost    *prometheus.CounterVec
	blocked prometheus.Counter
	errors  prometheus.Counter
	failing prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	m := &metrics{
		written: counter("wardfs_audit_records_total", "Records written to the audit log."),
		lost: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wardfs_audit_lost_total", Help: "Records that are not in the audit log, by why: the queue was full, the file could not be written, or the server was ending.",
		}, []string{"why"}),
		blocked: counter("wardfs_audit_blocked_seconds_total", "How long operations have waited for the audit log."),
		errors:  counter("wardfs_audit_errors_total", "Attempts to write the audit log, or to turn it over, that failed."),
		failing: prometheus.NewGauge(prometheus.GaugeOpts{Name: "wardfs_audit_failing", Help: "1 while the audit log can't be written."}),
	}
	for _, why := range []string{"queue", "file", "closed"} {
		m.lost.WithLabelValues(why)
	}
	if r != nil {
		r.MustRegister(m.written, m.lost, m.blocked, m.errors, m.failing)
	}
	return m
}

func (m *metrics) watch(r prometheus.Registerer, waiting func() int) {
	if r != nil {
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "wardfs_audit_waiting", Help: "Records that wait to be written to the audit log.",
		}, func() float64 { return float64(waiting()) }))
	}
}
