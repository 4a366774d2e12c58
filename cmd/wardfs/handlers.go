package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/wardfs/wardfs/client"
	"github.com/wardfs/wardfs/server"
)

// mountStatus is what a mount tells `wardfs status`.
type mountStatus struct {
	Kind       string        `json:"kind"` // "mount"
	Mountpoint string        `json:"mountpoint"`
	Source     string        `json:"source"`
	Version    string        `json:"version"`
	PID        int           `json:"pid"`
	Since      time.Time     `json:"since"`
	Identity   string        `json:"identity"` // "mount", "trusted", or where each user has a session "caller" or "impersonate"
	ReadOnly   bool          `json:"read_only"`
	NotAfter   *time.Time    `json:"certificate_not_after,omitempty"`
	Client     client.Status `json:"client"`
}

// serverStatus is what a server tells.
type serverStatus struct {
	Kind     string        `json:"kind"` // "server"
	Dir      string        `json:"dir"`
	Listen   string        `json:"listen"`
	Metrics  string        `json:"metrics,omitempty"`
	Audit    string        `json:"audit_log,omitempty"`
	Version  string        `json:"version"`
	PID      int           `json:"pid"`
	NotAfter *time.Time    `json:"certificate_not_after,omitempty"`
	Server   server.Status `json:"server"`
}

func (m *mount) status() mountStatus {
	id := "mount"
	switch {
	case m.options.Identity == "trusted":
		id = "trusted"
	case m.options.PerCaller():
		id = m.options.Identity
	}
	return mountStatus{
		Kind: "mount", Mountpoint: m.mnt, Source: m.spec.String(), Version: version, PID: os.Getpid(), Since: m.since,
		Identity: id, ReadOnly: m.options.ReadOnly, NotAfter: orNil(m.certs.NotAfter()), Client: m.client.Status(),
	}
}

func (b *backend) status(ctx context.Context) serverStatus {
	s := serverStatus{
		Kind: "server", Dir: b.c.Dir, Listen: b.addr(), Version: version, PID: os.Getpid(),
		NotAfter: orNil(b.certs.NotAfter()), Server: b.server.Status(ctx), Audit: absoluteOr(auditFile(b.c)),
	}
	if b.metrics != nil {
		s.Metrics = b.metrics.addr.String()
	}
	return s
}

// handler answers the commands of this machine about a mount.
func (m *mount) handler() http.Handler {
	mux := metricsHandler(m.registry)
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) { answer(w, m.status()) })
	mux.HandleFunc("GET /connection", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, connection{m.spec, *m.options})
	})
	mux.HandleFunc("GET /whoami", func(w http.ResponseWriter, r *http.Request) {
		p, err := m.person(r.Context())
		if err != nil {
			http.Error(w, oneLine(err.Error()), http.StatusBadGateway)
			return
		}
		answer(w, p)
	})
	mux.HandleFunc("POST /unmount", func(w http.ResponseWriter, r *http.Request) {
		var err error
		switch q := r.URL.Query(); {
		case q.Has("force"):
			err = m.force()
		case q.Has("lazy"):
			err = m.fuse.Detach()
		default: // while the one who asks waits, and no longer
			err = m.unmount(r.Context())
		}
		if err != nil {
			http.Error(w, exitWord(exitCode(err))+" "+oneLine(err.Error())+"\n"+oneLine(hint(err)), http.StatusConflict)
		}
	})
	return mux
}

// handler answers the commands of this machine about a server.
func (b *backend) handler() http.Handler {
	mux := metricsHandler(b.registry)
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, r *http.Request) { answer(w, b.status(r.Context())) })
	return mux
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // who asked is gone
}

func exitWord(code int) string { return fmt.Sprintf("exit=%d", code) }

func orNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
