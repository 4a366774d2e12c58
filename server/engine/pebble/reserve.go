package pebble

import (
	"errors"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// reserve is room that is kept for the day the disk is full: the file RESERVE,
// allocated and never written. When pebble must write and can't, a slice of it
// is given back to the disk, so that what was admitted can be finished; from
// then on fewer transactions are admitted, until there is room to make the
// reserve whole again.
//
//	whole                everything
//	three quarters left  small transactions
//	half left            those that delete something
//	less                 none: what is left is for what was admitted
//
// Merging tables, which frees the room of what was deleted and can wait, may
// have it down to five eighths: a slice more than deleting needs.
//
// On a filesystem that can't allocate, the free space is asked for instead.
// A nil reserve admits everything and gives nothing.
type reserve struct {
	log  *slog.Logger
	want int64 // bytes when whole

	whole atomic.Bool

	mu    sync.Mutex
	file  space
	size  int64     // bytes allocated
	asked time.Time // when the disk was last asked for room

	virtual bool // nothing can be allocated: size is what is free, and never whole

	pause func(time.Duration) bool // waits; false: don't wait any more
}

// space is the file behind a reserve and the disk it lies on.
type space interface {
	// Allocate makes the file so long, out of free room or by giving room back.
	Allocate(size int64) error
	// Free is the room on the disk, in bytes.
	Free() (int64, error)
	Close() error
}

const (
	reserveFile = "RESERVE"
	slices8     = 8        // a slice is an eighth of the reserve
	small       = 64 << 10 // bytes of a small transaction
	askEvery    = 100 * time.Millisecond
)

// newReserve takes up a file that has size bytes of the want.
func newReserve(file space, size, want int64, log *slog.Logger, pause func(time.Duration) bool) *reserve {
	r := &reserve{log: log, want: want, file: file, size: size, pause: pause}
	r.refill()
	return r
}

// admits reports whether a transaction of so many bytes may be begun.
func (r *reserve) admits(size int, deletes bool) bool {
	if r == nil || r.whole.Load() {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.asked) >= askEvery || !r.allows(size, deletes) {
		r.refill()
	}
	return r.allows(size, deletes)
}

func (r *reserve) allows(size int, deletes bool) bool {
	switch {
	case r.size >= r.want:
		return true
	case r.size >= r.want/4*3 && size <= small:
		return true
	default:
		return r.size >= r.want/2 && deletes
	}
}

// refill makes the reserve as large as the disk allows with a slice to spare.
func (r *reserve) refill() {
	r.asked = time.Now()
	slice := r.want / slices8
	free, err := r.file.Free()
	if err != nil {
		r.log.Warn("engine reserve", "err", err)
		return
	}
	size := min(r.want, r.size+(free-slice)/slice*slice)
	if size > r.size && !r.virtual {
		err = r.file.Allocate(size)
		r.virtual = errors.Is(err, errors.ErrUnsupported)
	}
	switch {
	case r.virtual:
		r.size = min(r.want, free)
	case err != nil:
		r.log.Debug("engine reserve", "err", err) // somebody was quicker
	case size >= r.want:
		r.log.Info("engine reserve is whole", "bytes", r.want)
		r.size = r.want
		r.whole.Store(true)
	default:
		r.size = max(r.size, size)
	}
}

// lets reports whether merging may write: not in the room that was given back
// for others.
func (r *reserve) lets() bool {
	if r == nil || r.whole.Load() {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.size > r.floor() {
		return true
	}
	free, err := r.file.Free()
	return err == nil && free >= r.want/4
}

// floor is what merging leaves.
func (r *reserve) floor() int64 { return r.want / slices8 * 5 }

// giveWay returns a slice to the disk, for merging or for what can't wait. It
// answers false when there is none.
func (r *reserve) giveWay(merging bool) bool {
	if r == nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.whole.Swap(false) {
		r.log.Warn("engine disk is full: changes are refused until there is room", "reserve", r.size)
	}
	if r.size <= 0 || merging && r.size <= r.floor() {
		return false
	}
	r.size -= min(r.size, r.want/slices8)
	if err := r.file.Allocate(r.size); err != nil && !r.virtual {
		r.log.Warn("engine reserve", "err", err)
	}
	return true
}

// await waits until somebody else has made room, and answers false if nobody
// does. There is no event to wait for: it asks the disk.
func (r *reserve) await(patience time.Duration) bool {
	if r == nil {
		return false
	}
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if !r.pause(askEvery) {
			return false
		}
		if free, err := r.file.Free(); err == nil && free > r.want/slices8 {
			return true
		}
	}
	return false
}

// left is how much is there, of how much there should be.
func (r *reserve) left() (size, want int64) {
	if r == nil {
		return 0, 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.size, r.want
}

func (r *reserve) close() error {
	if r == nil {
		return nil
	}
	return r.file.Close()
}

// fileSpace is a space on a filesystem of the machine.
type fileSpace struct{ *os.File }

// openReserve takes up or makes the reserve in path, of want bytes but at most
// an eighth of its disk.
func openReserve(path string, want int64, x *fault) (*reserve, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	var disk syscall.Statfs_t
	if err := syscall.Fstatfs(int(f.Fd()), &disk); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	st, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	want = min(want, int64(disk.Blocks)*disk.Bsize/8)
	return newReserve(fileSpace{f}, st.Size(), want, x.cfg.Log, x.pause), nil
}

// Allocate truncates first: a fallocate that failed may have left blocks
// beyond the end.
func (s fileSpace) Allocate(size int64) error {
	st, err := s.Stat()
	if err != nil {
		return err
	}
	if err := s.Truncate(min(size, st.Size())); err != nil {
		return err
	}
	if size <= st.Size() {
		return nil
	}
	return fallocate(s.File, size)
}

func (s fileSpace) Free() (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Fstatfs(int(s.Fd()), &st); err != nil {
		return 0, err
	}
	return int64(st.Bavail) * st.Bsize, nil
}

// fallocate allocates the first size bytes of f.
func fallocate(f *os.File, size int64) error {
	for {
		err := syscall.Fallocate(int(f.Fd()), 0, 0, size)
		if err != syscall.EINTR {
			return err
		}
	}
}
