package server

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what a server counts; the engine's and the store's own figures
// are exported by whoever opens them.
type metrics struct {
	calls   *prometheus.HistogramVec
	failed  *prometheus.CounterVec
	blocks  *prometheus.HistogramVec
	bytes   *prometheus.CounterVec
	cleaned *prometheus.CounterVec
	limited *prometheus.CounterVec
	refused *prometheus.CounterVec
}

// Buckets are the bounds of every latency histogram of wardfs, in seconds:
// 25 us to 26 s.
func Buckets() []float64 { return prometheus.ExponentialBuckets(25e-6, 4, 11) }

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		calls: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "wardfs_server_call_seconds", Help: "Time from a namespace call's arrival to its reply.", Buckets: Buckets(),
		}, []string{"op"}),
		failed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wardfs_server_call_errors_total", Help: "Namespace and block calls that were answered with an error.",
		}, []string{"op"}),
		blocks: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "wardfs_server_block_seconds", Help: "Time of a chunk call, without the wire.", Buckets: Buckets(),
		}, []string{"op"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wardfs_server_block_bytes_total", Help: "Bytes of blocks received and sent.",
		}, []string{"op"}),
		cleaned: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wardfs_server_collected_total", Help: "What was collected because nobody named it, and small blocks that were moved to the chunk store.",
		}, []string{"what"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wardfs_server_capabilities_refused_total", Help: "Capabilities that opened nothing: forged, expired, of a session that has ended, without the right, or another file's.",
		}, []string{"why"}),
		limited: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wardfs_server_limited_total", Help: "What was refused because a principal or a session has as much as it may.",
		}, []string{"limit"}),
	}
	r.MustRegister(m.refused, m.calls, m.failed, m.blocks, m.bytes, m.cleaned, m.limited)
	return m
}

func (m *metrics) rpc(op string, errno uint32, d time.Duration) {
	m.calls.WithLabelValues(op).Observe(d.Seconds())
	if errno != 0 {
		m.failed.WithLabelValues(op).Inc()
	}
}

func (m *metrics) block(op string, errno uint32, n int, d time.Duration) {
	m.blocks.WithLabelValues(op).Observe(d.Seconds())
	m.bytes.WithLabelValues(op).Add(float64(n))
	if errno != 0 {
		m.failed.WithLabelValues(op).Inc()
	}
}

func (m *metrics) collected(what string, n int) { m.cleaned.WithLabelValues(what).Add(float64(n)) }
