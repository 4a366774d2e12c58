package pebble

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	lsm "github.com/cockroachdb/pebble/v2"

	"github.com/wardfs/wardfs/posix"
)

// ErrDamaged marks an error that comes from a file that is not what the engine
// wrote. It answers EIO.
var ErrDamaged = errors.New("engine: damaged file")

// fault is why an engine has stopped for good. Pebble ends the process or
// panics where it can't go on; here that becomes an error of every transaction
// from then on, and of those that wait for the disk, which is frozen.
type fault struct {
	cfg     Config
	once    sync.Once
	err     error
	stopped chan struct{}
	hurry   chan struct{} // closed when nothing shall be waited for any more
	wild    atomic.Bool   // pebble panicked: its locks may be held for ever
}

func newFault(cfg Config) *fault {
	return &fault{cfg: cfg, stopped: make(chan struct{}), hurry: make(chan struct{})}
}

// error is nil while the engine goes.
func (x *fault) error() error {
	select {
	case <-x.stopped:
		return x.err
	default:
		return nil
	}
}

// stop makes cause the reason, if it is the first, and answers the reason.
func (x *fault) stop(cause error) error {
	x.once.Do(func() {
		x.err = posix.E("engine", posix.EIO, fmt.Errorf(
			"%s: stopped, restart the server once the disk is well: %w", x.cfg.Dir, cause))
		close(x.stopped)
		x.cfg.Log.Error("engine stopped", "dir", x.cfg.Dir, "err", cause)
		if x.cfg.OnFail != nil {
			x.cfg.OnFail(x.err)
		}
	})
	<-x.stopped
	return x.err
}

// guard calls into pebble and turns a panic there into a stop. f must not run
// a caller's function: its panic is its own.
func (x *fault) guard(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			x.wild.Store(true)
			err = x.stop(panicError(p))
		}
	}()
	return f()
}

func panicError(p any) error {
	if err, ok := p.(error); ok {
		return err
	}
	return fmt.Errorf("%v", p)
}

// pause waits, and reports whether nobody is in a hurry.
func (x *fault) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-x.stopped:
	case <-x.hurry:
	}
	return false
}

// logger hands on what pebble says.
type logger struct {
	log   *slog.Logger
	fault *fault
}

var _ lsm.Logger = logger{}

func (l logger) Infof(format string, args ...any) {
	l.log.Debug("pebble", "text", fmt.Sprintf(format, args...))
}

func (l logger) Errorf(format string, args ...any) {
	l.log.Error("pebble", "text", fmt.Sprintf(format, args...))
}

// Fatalf is not to return, says pebble, and ends the process by default. It may
// here: the disk is frozen first, so that what follows has no effect.
func (l logger) Fatalf(format string, args ...any) {
	l.fault.stop(fmt.Errorf(format, args...))
}

// ioError gives an error of the disk the errno it stands for.
func ioError(op, path string, err error) error {
	errno := posix.EIO
	switch {
	case full(err):
		errno = posix.ENOSPC
	case lsm.IsCorruptionError(err):
		err = fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return posix.E(op, errno, fmt.Errorf("%s: %w", path, err))
}
