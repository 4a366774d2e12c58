package soak

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/wardfs/wardfs/client"
	"github.com/wardfs/wardfs/client/file"
	"github.com/wardfs/wardfs/identity"
	"github.com/wardfs/wardfs/identity/certs"
	"github.com/wardfs/wardfs/identity/kerberos"
	"github.com/wardfs/wardfs/identity/oidc"
	"github.com/wardfs/wardfs/posix"
)

// worker is a mount, and a program on it that writes and reads.
type worker struct {
	s    *site
	name string
	m    *client.Mount
	rng  *rand.Rand

	done, bytes atomic.Int64
}

func newWorker(s *site, mechanism string, i int) *worker {
	w := &worker{s: s, name: fmt.Sprint(mechanism, "-", i), rng: rand.New(rand.NewPCG(1, uint64(i)))}
	store, err := certs.Load(s.material(mechanism == identity.X509))
	must(s.t, err)
	c := client.Config{Servers: []string{s.addr}, TLS: func() *tls.Config { return store.Client("") }, Mechanism: mechanism, Name: w.name, Age: -1}
	switch mechanism {
	case identity.Kerberos:
		k := kerberos.InitiateConfig{Server: "wardfs/localhost", Conf: s.realm.Conf}
		if k.Cache = "FILE:" + s.file("cc"); i%2 == 1 {
			k.Cache, k.Keytab, k.Principal = "", s.file("bob.keytab"), "bob@SOAK.TEST"
		}
		c.Prover, err = kerberos.NewProver(k)
		must(s.t, err)
	case identity.OIDC:
		c.Prover = oidc.Prover{Token: oidc.File(s.file("token"))}
	}
	w.m, err = client.Connect(s.t.Context(), c)
	must(s.t, err)
	watch, stop := context.WithCancel(context.Background())
	go store.Watch(watch, func() { w.m.JudgeServers(func(st tls.ConnectionState) error { return store.Judge(st, true) }) })
	s.t.Cleanup(func() {
		stop()
		if err := w.m.Close(context.Background()); err != nil {
			s.t.Errorf("%s: closing: %v", w.name, err)
		}
	})
	return w
}

// run works until ctx ends; what it does is not interrupted by that.
func (w *worker) run(ctx context.Context) {
	inner := context.WithoutCancel(ctx)
	ns := w.m.As(posix.Cred{})
	// One file stays open all the while, so that its capability must be renewed.
	keep, _, err := w.m.Files().Create(inner, ns, posix.RootIno, w.name, 0o644, 0, posix.OpenRead|posix.OpenWrite)
	if err != nil {
		w.s.t.Errorf("%s: create: %v", w.name, err)
		return
	}
	pace := time.NewTicker(20 * time.Millisecond) // a load, and not all that the machine has
	defer pace.Stop()
	for n := 0; ctx.Err() == nil; n++ {
		for what, do := range map[string]func() error{
			"the open file":     func() error { return w.rewrite(inner, keep, uint64(n%4)<<20) },
			"a file of its own": func() error { return w.fresh(inner, ns, fmt.Sprint(w.name, ".", n%8)) },
		} {
			if err := do(); err != nil {
				w.s.t.Errorf("%s: round %d: %s: %v", w.name, n, what, err)
				return
			}
		}
		w.done.Add(1)
		select {
		case <-pace.C:
		case <-ctx.Done():
		}
	}
	if err := keep.Close(inner); err != nil {
		w.s.t.Errorf("%s: close: %v", w.name, err)
	}
}

func (w *worker) data() []byte {
	b := make([]byte, 1+w.rng.IntN(200<<10))
	for i := 0; i < len(b); i += 61 {
		b[i] = byte(w.rng.Uint32())
	}
	return b
}

// rewrite changes a part of an open file, and reads it from the server.
func (w *worker) rewrite(ctx context.Context, f *file.Handle, at uint64) error {
	data := w.data()
	if _, err := f.Write(ctx, data, at); err != nil {
		return err
	}
	if err := f.Sync(ctx); err != nil {
		return err
	}
	return w.compare(ctx, f, data, at)
}

func (w *worker) compare(ctx context.Context, f *file.Handle, want []byte, at uint64) error {
	got := make([]byte, len(want))
	n, err := f.Read(ctx, got, at)
	if err != nil {
		return err
	}
	if !bytes.Equal(got[:n], want) {
		return fmt.Errorf("%d bytes at %d are other than what was written", n, at)
	}
	w.bytes.Add(int64(n))
	return nil
}

// fresh makes a file, reads it through a new handle and removes it.
func (w *worker) fresh(ctx context.Context, ns posix.Namespace, name string) error {
	data := w.data()
	f, a, err := w.m.Files().Create(ctx, ns, posix.RootIno, name, 0o644, 0, posix.OpenWrite|posix.OpenTrunc)
	if err != nil {
		return err
	}
	if _, err = f.Write(ctx, data, 0); err == nil {
		err = f.Sync(ctx)
	}
	if err = errors.Join(err, f.Close(ctx)); err != nil {
		return err
	}
	f, _, err = w.m.Files().Open(ctx, ns, a.Ino, posix.OpenRead)
	if err != nil {
		return err
	}
	err = w.compare(ctx, f, data, 0)
	return errors.Join(err, f.Close(ctx), ns.Unlink(ctx, posix.RootIno, name))
}
