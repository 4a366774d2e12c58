package main

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/http/pprof"
	"slices"
	"strings"
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

// registerCerts exports when the material expires, as it is now: of each listener.
func registerCerts(r prometheus.Registerer, all map[string]*certs.Store) {
	r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "wardfs_certificate_not_after_seconds", Help: "When the first certificate in use expires, in seconds since the epoch.",
	}, func() float64 {
		var least time.Time
		for _, s := range all {
			if t := s.NotAfter(); !t.IsZero() && (least.IsZero() || t.Before(least)) {
				least = t
			}
		}
		if least.IsZero() {
			return 0
		}
		return float64(least.Unix())
	}), certificates{all})
}

// certificates exports each certificate's time left.
type certificates struct{ all map[string]*certs.Store }

var timeLeft = prometheus.NewDesc("wardfs_certificate_seconds_left", "Until a certificate in use expires; below 0, since.",
	[]string{"for", "use", "subject", "sha256"}, nil)

// Describe and Collect make it a collector.
func (certificates) Describe(c chan<- *prometheus.Desc) { c <- timeLeft }

// Collect lists what is in use now. The same certificate may be there twice.
func (m certificates) Collect(c chan<- prometheus.Metric) {
	type labels struct{ listener, use, subject, sum string }
	seen := map[labels]bool{}
	for listener, s := range m.all {
		for _, one := range s.Certificates() {
			l := labels{listener, one.Use, strings.ToValidUTF8(one.Name, "?"), one.Fingerprint}
			if seen[l] {
				continue
			}
			seen[l] = true
			c <- prometheus.MustNewConstMetric(timeLeft, prometheus.GaugeValue, time.Until(one.NotAfter).Seconds(), l.listener, l.use, l.subject, l.sum)
		}
	}
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

// serveMetrics answers over TLS alone and to certificates alone: those of
// metrics.readers, or if there are none named all that a trusted authority has
// issued. Connections stay up between requests, so each asks again whether its
// certificate is still good.
func (b *backend) serveMetrics() *metricsServer {
	mux := metricsHandler(b.registry)
	readers := b.c.Metrics.Readers
	s := &http.Server{ReadHeaderTimeout: b.c.TLS.HandshakeTime, IdleTimeout: 5 * time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if err := b.others.Judge(*q.TLS, false); err != nil {
			w.Header().Set("Connection", "close")
			http.Error(w, "the certificate is good no more: "+oneLine(err.Error()), http.StatusForbidden)
			return
		}
		if name := q.TLS.PeerCertificates[0].Subject.CommonName; len(readers) > 0 && !slices.Contains(readers, name) {
			http.Error(w, name+" is not among metrics.readers", http.StatusForbidden)
			return
		}
		mux.ServeHTTP(w, q)
	})}
	l := b.metricsListener
	go s.Serve(tls.NewListener(l, certified(b.others.Server()))) //nolint:errcheck // it ends when Close says so
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
