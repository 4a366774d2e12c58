// Package soak puts a server under load and meanwhile changes everything that
// proves or protects: the server's certificate, the authority (with an overlap),
// the issuer's keys and tokens, the keytab and the tickets of a real KDC, and the
// key of capabilities. Not one operation may fail, and every byte must be right.
//
//	go test ./tests/soak                      half a minute
//	go test ./tests/soak -duration 10m        as make soak does
package soak

import (
	"context"
	"flag"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var (
	full     = flag.Bool("full", false, "ten minutes")
	duration = flag.Duration("duration", 25*time.Second, "how long the load lasts")
)

func TestMain(m *testing.M) {
	flag.Parse()
	if *full {
		*duration = 10 * time.Minute
	}
	os.Exit(m.Run())
}

func TestRotationUnderLoad(t *testing.T) {
	s := newSite(t)
	var workers []*worker
	for i, mechanism := range []string{"X509", "X509", "KERBEROS", "KERBEROS", "OIDC", "OIDC"} {
		workers = append(workers, newWorker(s, mechanism, i))
	}
	ctx, stop := context.WithTimeout(t.Context(), *duration)
	defer stop()
	var running sync.WaitGroup
	for _, w := range workers {
		running.Go(func() { w.run(ctx) })
	}
	rounds := 0
	for tick := time.NewTicker(max(*duration/25, 500*time.Millisecond)); ctx.Err() == nil; rounds++ {
		s.rotateSome(rounds)
		select {
		case <-tick.C:
		case <-ctx.Done():
			tick.Stop()
		}
	}
	running.Wait()
	var done, bytes int64
	for _, w := range workers {
		done += w.done.Load()
		bytes += w.bytes.Load()
		if w.done.Load() == 0 {
			t.Errorf("%s did nothing", w.name)
		}
	}
	for what, n := range s.turned {
		t.Logf("%-24s %d times", what, n)
	}
	t.Logf("%d rounds of %d mounts, %d MiB written and compared, 0 errors if nothing else is said; capability keys: %d", done, len(workers), bytes>>20, s.keys.Load())
	for _, what := range []string{"server certificate", "authority", "token keys", "keytab", "tickets", "tokens"} {
		if s.turned[what] == 0 {
			t.Errorf("%s: never rotated", what)
		}
	}
	if s.keys.Load() < 1 {
		t.Error("the key of capabilities never turned")
	}
}

// counting is a log handler that counts what the server says of its keys, and
// shows warnings when the test has failed.
type counting struct {
	slog.Handler
	keys *atomic.Int64
}

// Enabled lets everything come to be counted.
func (c counting) Enabled(context.Context, slog.Level) bool { return true }

func (c counting) Handle(ctx context.Context, r slog.Record) error {
	if r.Message == "the key of capabilities is rotated" {
		c.keys.Add(1)
	}
	if !c.Handler.Enabled(ctx, r.Level) {
		return nil
	}
	return c.Handler.Handle(ctx, r)
}

func (c counting) WithAttrs(a []slog.Attr) slog.Handler {
	return counting{c.Handler.WithAttrs(a), c.keys}
}

// said is where the log goes: to the test, while it runs.
type said struct{ t testing.TB }

func (s said) Write(p []byte) (int, error) {
	s.t.Logf("%s", p)
	return len(p), nil
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
