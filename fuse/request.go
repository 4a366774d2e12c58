package fuse

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	raw "github.com/hanwen/go-fuse/v2/fuse"

	"github.com/wardfs/wardfs/posix"
)

// answer is the border of every request: it runs f, logs and counts what came
// of it, and makes it a number for the kernel.
func (s *server) answer(op string, h *raw.InHeader, cancel <-chan struct{}, f func(ctx context.Context) error) raw.Status {
	return s.serve(op, h, s.request(h, cancel), f)
}

func (s *server) request(h *raw.InHeader, cancel <-chan struct{}) *request {
	return &request{cancel: cancel, pid: h.Pid, grace: s.Options.InterruptGrace}
}

func (s *server) serve(op string, h *raw.InHeader, r *request, f func(ctx context.Context) error) raw.Status {
	start := time.Now()
	err := s.guard(op, h, r, f)
	r.end()
	errno, took := errnoOf(err), time.Since(start)
	if s.Observe != nil {
		s.Observe(op, errno, took)
	}
	if err != nil {
		s.Log.Log(context.Background(), severity(errno), "request failed",
			"op", op, "ino", h.NodeId, "errno", errno.String(), "err", err, "dur", took)
	}
	return status(errno)
}

// guard runs f. A panic is a bug of ours: it is logged, it answers EIO, and
// the mount goes on.
func (s *server) guard(op string, h *raw.InHeader, ctx context.Context, f func(context.Context) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			s.Log.Error("panic", "op", op, "ino", h.NodeId, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			err = posix.E(op, posix.EIO, errPanic)
		}
	}()
	return f(ctx)
}

// errPanic stands for the panic that is in the log.
var errPanic = errors.New("fuse: a handler panicked")

// ask is answer for an operation on the namespace: f is run for the caller,
// see [server.as].
func (s *server) ask(op string, h *raw.InHeader, cancel <-chan struct{}, groups bool, f func(context.Context, posix.Namespace) error) raw.Status {
	return s.answer(op, h, cancel, func(ctx context.Context) error {
		return s.as(s.caller(h.Uid, h.Gid, h.Pid), groups, func(ns posix.Namespace) error { return f(ctx, ns) })
	})
}

// severity tells the ordinary refusals, which are half of all lookups, from
// what an administrator wants to know.
func severity(e posix.Errno) slog.Level {
	switch e {
	case posix.EIO, posix.ETIMEDOUT, posix.EHOSTDOWN, posix.EPROTO, posix.ENOMEM, posix.ENOKEY, posix.EKEYEXPIRED, posix.EKEYREVOKED:
		return slog.LevelWarn
	}
	return slog.LevelDebug
}

// request is the context of one request of the kernel. It is cancelled when
// the caller is being killed, and, if so configured, when it got a signal that
// it handles.
//
// It watches only from the first call of Done on, so that a request which is
// answered without waiting costs nothing. The cancel channel belongs to the
// library and serves another request after this one: nothing may look at it
// after end.
type request struct {
	cancel <-chan struct{} // closed at the caller's first signal
	pid    uint32
	grace  time.Duration // see Options.InterruptGrace
	linger time.Duration // how long it goes on for a caller that is being killed

	mu    sync.Mutex
	ended chan struct{} // closed by end; made with done
	done  chan struct{} // nil until asked for
	err   error
	over  bool
}

var _ context.Context = (*request)(nil)

func (r *request) Deadline() (time.Time, bool) { return time.Time{}, false }
func (r *request) Value(any) any               { return nil }

func (r *request) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

func (r *request) Done() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done == nil {
		r.done, r.ended = make(chan struct{}), make(chan struct{})
		if !r.over && r.cancel != nil {
			go r.watch(r.cancel)
		}
	}
	return r.done
}

// end is called when the request's handler returns. The context is cancelled
// then, so that nothing that was begun for it goes on for it.
func (r *request) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over = true
	if r.ended != nil {
		close(r.ended)
	}
	r.fail()
}

// fail ends the context; r.mu is held.
func (r *request) fail() {
	if r.err != nil {
		return
	}
	r.err = context.Canceled
	if r.done != nil {
		close(r.done)
	}
}

// watch waits for the interrupt, and then for what ends the request. The kernel
// tells of the first signal only, so that one which kills has to be looked for.
func (r *request) watch(cancel <-chan struct{}) {
	select {
	case <-r.ended:
		return
	case <-cancel:
	}
	tick := time.NewTicker(dyingEvery)
	defer tick.Stop()
	for start := time.Now(); !r.interrupts(time.Since(start)); {
		select {
		case <-r.ended:
			return
		case <-tick.C:
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fail()
}

// interrupts reports whether a caller that got a signal so long ago has its
// answer now.
func (r *request) interrupts(since time.Duration) bool {
	return r.grace < 0 || r.grace > 0 && since >= r.grace || since >= r.linger && dying(r.pid)
}

// dyingEvery is how often a request that was interrupted looks whether its
// caller is being killed.
const dyingEvery = 20 * time.Millisecond

// dying reports whether a thread has a pending signal that it neither handles
// nor ignores nor blocks: it will end, and need not wait. A thread that has
// gone need not either; of pid 0 nothing is known.
func dying(tid uint32) bool {
	if tid == 0 {
		return false
	}
	st, err := readStatus(tid)
	return err != nil || fatal(st)
}

// ignoredByDefault are the signals whose default is to do nothing: SIGCHLD,
// SIGCONT, SIGURG, SIGWINCH.
const ignoredByDefault = 1<<(17-1) | 1<<(18-1) | 1<<(23-1) | 1<<(28-1)

// fatal reads the signal masks of proc_pid_status(5). A mask that is missing
// or unreadable is empty.
func fatal(status string) bool {
	mask := func(field string) uint64 {
		n, _ := strconv.ParseUint(statusField(status, field), 16, 64)
		return n
	}
	pending := mask("SigPnd") | mask("ShdPnd")
	return pending&^(mask("SigBlk")|mask("SigIgn")|mask("SigCgt")|ignoredByDefault) != 0
}
