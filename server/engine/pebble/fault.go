package pebble

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"

	lsm "github.com/cockroachdb/pebble/v2"

	"github.com/wardfs/wardfs/posix"
)

// ErrDamaged marks an error that comes from a file that is not what the engine
// wrote. It answers EIO.
var ErrDamaged = errors.New("engine: damaged file")

// fault is why an engine has stopped for good. Pebble ends the process or
// panics where it can't go on; here that becomes an error of every transaction
// from then on, and of those that wait for the disk.
type fault struct {
	cfg     Config
	once    sync.Once
	err     error
	stopped chan struct{}
}

func newFault(cfg Config) *fault { return &fault{cfg: cfg, stopped: make(chan struct{})} }

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

// guarded reports whether this goroutine is within guard.
func guarded() bool {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	for {
		f, more := frames.Next()
		if strings.HasSuffix(f.Function, "pebble.(*fault).guard") {
			return true
		}
		if !more {
			return false
		}
	}
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

// Fatalf must not return: pebble would go on with what it just called
// impossible. In a call of ours it unwinds to guard; in a goroutine of
// pebble's it ends that one, by its deferred unlocks.
func (l logger) Fatalf(format string, args ...any) {
	err := fmt.Errorf(format, args...)
	l.fault.stop(err)
	if guarded() {
		panic(err)
	}
	runtime.Goexit()
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
