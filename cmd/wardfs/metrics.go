package main

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/http/pprof"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/wardfs/wardfs/identity/certs"
	"github.com/wardfs/wardfs/server"
)

// newRegistry is a registry with what every process of ours exports.
func newRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "wardfs_build_info", Help: "Always 1; the version is the label.", ConstLabels: prometheus.Labels{"version": version},
		}, func() float64 { return 1 }),
	)
	return r
}

// registerCerts exports when the material expires, as it is now.
func registerCerts(r prometheus.Registerer, s *certs.Store) {
	r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "wardfs_certificate_not_after_seconds", Help: "When the first certificate in use expires, in seconds since the epoch.",
	}, func() float64 {
		if t := s.NotAfter(); !t.IsZero() {
			return float64(t.Unix())
		}
		return 0
	}))
}

// observe is a hook that fills a latency histogram.
func observe(r prometheus.Registerer, name, help, label string) func(string, time.Duration) {
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: server.Buckets()}, []string{label})
	r.MustRegister(h)
	return func(value string, d time.Duration) { h.WithLabelValues(value).Observe(d.Seconds()) }
}

// counter is a hook that adds up.
func counter(r prometheus.Registerer, name, help, label string) func(string, int) {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label})
	r.MustRegister(c)
	return func(value string, n int) { c.WithLabelValues(value).Add(float64(n)) }
}

// metricsHandler answers metrics and pprof.
func metricsHandler(r *prometheus.Registry) *http.ServeMux {
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(r, promhttp.HandlerOpts{}))
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}

// metricsServer is the metrics listener.
type metricsServer struct {
	http *http.Server
	addr net.Addr
}

// serveMetrics answers on l, over TLS alone and to certificates alone: those of
// readers, or if there are none named all that the material's authority issued.
func serveMetrics(l net.Listener, c *tls.Config, r *prometheus.Registry, readers []string) *metricsServer {
	mux := metricsHandler(r)
	s := &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if name := q.TLS.PeerCertificates[0].Subject.CommonName; len(readers) > 0 && !slices.Contains(readers, name) {
			http.Error(w, name+" is not among metrics.readers", http.StatusForbidden)
			return
		}
		mux.ServeHTTP(w, q)
	})}
	go s.Serve(tls.NewListener(l, certified(c))) //nolint:errcheck // it ends when Close says so
	return &metricsServer{s, l.Addr()}
}

// certified is c, but a client without a good certificate is not let in.
func certified(c *tls.Config) *tls.Config {
	c = c.Clone()
	c.ClientAuth = tls.RequireAndVerifyClientCert
	if ask := c.GetConfigForClient; ask != nil {
		c.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) {
			now, err := ask(h)
			if err != nil {
				return nil, err
			}
			now.ClientAuth = tls.RequireAndVerifyClientCert
			now.NextProtos = []string{"http/1.1"}
			return now, nil
		}
	}
	c.NextProtos = []string{"http/1.1"}
	return c
}

// Close ends it at once.
func (m *metricsServer) Close() {
	if m != nil {
		m.http.Close()
	}
}
