package disk

import (
	"errors"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/wardfs/wardfs/server/chunk"
)

// filesystem is what the store asks of the system, within its directory. The
// tests have a body that crashes, loses what was not synced, and fills up.
type filesystem interface {
	// open opens a file for reading and writing; create makes it, empty.
	open(name string, create bool) (file, error)
	// writeDirect writes b at off of a file past the page cache. All of b's
	// address, its length and off are multiples of pageSize, and no page of the
	// range is written in another way at the same time. Where there is no such
	// way the answer is errors.ErrUnsupported and nothing is written.
	writeDirect(name string, b []byte, off int64) error
	rename(from, to string) error
	remove(name string) error
	list() ([]string, error)
	syncDir() error // makes created, renamed and removed names durable
	usage() (chunk.Usage, error)
	close() error // ends the exclusive use of the directory
}

// file is one open file. Reads and writes may run at the same time.
type file interface {
	// readv fills bufs from off on; n < the whole is the end of the file.
	readv(bufs [][]byte, off int64) (n int64, err error)
	// writev writes all of bufs at off, or answers an error: then some of it
	// may have been written.
	writev(bufs [][]byte, off int64) error
	sync() error // fdatasync(2)
	// allocate gives the range blocks of the disk and zeros; the file grows.
	allocate(off, n int64) error
	punch(off, n int64) error // frees the blocks of the range
	truncate(size int64) error
	// size is the file's length and what it holds of the disk.
	size() (length, held int64, err error)
	// data is the first offset at or after off that may be other than zeros;
	// io.EOF if there is none.
	data(off int64) (int64, error)
	close() error
}

// osDir is a directory of the system, exclusively used.
type osDir struct {
	path string
	lock *os.File
}

// openDir makes the directory if need be and locks it.
func openDir(path string) (*osDir, error) {
	if err := makeDir(path); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(path, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		return nil, err
	}
	return &osDir{path, lock}, nil
}

// makeDir makes a directory and those above it, and sees to it that their
// names survive a power cut.
func makeDir(path string) error {
	if fi, err := os.Stat(path); err == nil {
		if !fi.IsDir() {
			return unix.ENOTDIR
		}
		return nil
	}
	parent := filepath.Dir(path)
	if parent != path {
		if err := makeDir(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return syncPath(parent)
}

func syncPath(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

func (d *osDir) open(name string, create bool) (file, error) {
	flags := unix.O_RDWR | unix.O_CLOEXEC
	if create {
		flags |= unix.O_CREAT | unix.O_TRUNC
	}
	for {
		fd, err := unix.Open(filepath.Join(d.path, name), flags, 0o600)
		if err == nil {
			return osFile(fd), nil
		}
		if err != unix.EINTR {
			return nil, err
		}
	}
}

func (d *osDir) writeDirect(name string, b []byte, off int64) error {
	var fd int
	err := again(func() (err error) {
		fd, err = unix.Open(filepath.Join(d.path, name), unix.O_WRONLY|unix.O_DIRECT|unix.O_CLOEXEC, 0)
		return err
	})
	if err == nil {
		err = osFile(fd).writev([][]byte{b}, off)
		unix.Close(fd)
	}
	if errors.Is(err, unix.EINVAL) { // open(2), of a filesystem or of an alignment
		return errors.ErrUnsupported
	}
	return err
}

func (d *osDir) rename(from, to string) error {
	return unix.Rename(filepath.Join(d.path, from), filepath.Join(d.path, to))
}

func (d *osDir) remove(name string) error { return unix.Unlink(filepath.Join(d.path, name)) }

func (d *osDir) list() ([]string, error) {
	f, err := os.Open(d.path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}

func (d *osDir) syncDir() error { return syncPath(d.path) }

func (d *osDir) usage() (chunk.Usage, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(d.path, &st); err != nil {
		return chunk.Usage{}, err
	}
	return chunk.Usage{Capacity: st.Blocks * uint64(st.Frsize), Free: st.Bavail * uint64(st.Frsize)}, nil
}

func (d *osDir) close() error { return d.lock.Close() }

// osFile is a file descriptor.
type osFile int

// iovMax is IOV_MAX of limits.h on Linux.
const iovMax = 1024

func (f osFile) readv(bufs [][]byte, off int64) (int64, error) {
	return vectored(bufs, off, func(b [][]byte, off int64) (int, error) { return unix.Preadv(int(f), b, off) })
}

func (f osFile) writev(bufs [][]byte, off int64) error {
	n, err := vectored(bufs, off, func(b [][]byte, off int64) (int, error) { return unix.Pwritev(int(f), b, off) })
	if err == nil && n < total(bufs) {
		return io.ErrShortWrite
	}
	return err
}

// vectored repeats call until all of bufs is done or nothing moves any more.
// A short answer is usual where a disk is just full, or a signal came.
func vectored(bufs [][]byte, off int64, call func([][]byte, int64) (int, error)) (done int64, err error) {
	want := total(bufs)
	for rest := bufs; done < want; {
		n, err := call(rest[:min(len(rest), iovMax)], off+done)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if n <= 0 || err != nil {
			return done, err
		}
		done += int64(n)
		if done < want {
			rest = skip(rest, n)
		}
	}
	return done, nil
}

func total(bufs [][]byte) (n int64) {
	for _, b := range bufs {
		n += int64(len(b))
	}
	return n
}

// skip is bufs without their first n bytes, in a fresh array if one was cut.
func skip(bufs [][]byte, n int) [][]byte {
	for len(bufs) > 0 && n >= len(bufs[0]) {
		n -= len(bufs[0])
		bufs = bufs[1:]
	}
	if n > 0 {
		bufs = append([][]byte(nil), bufs...)
		bufs[0] = bufs[0][n:]
	}
	return bufs
}

func (f osFile) sync() error { return unix.Fdatasync(int(f)) }

func (f osFile) allocate(off, n int64) error {
	return again(func() error { return unix.Fallocate(int(f), 0, off, n) })
}

func (f osFile) punch(off, n int64) error {
	const mode = unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE
	return again(func() error { return unix.Fallocate(int(f), mode, off, n) })
}

func (f osFile) truncate(size int64) error {
	return again(func() error { return unix.Ftruncate(int(f), size) })
}

// again repeats what a signal interrupted; Go's own preemption is one.
func again(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

func (f osFile) size() (length, held int64, err error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f), &st); err != nil {
		return 0, 0, err
	}
	return st.Size, st.Blocks * 512, nil // st_blocks counts 512 bytes, stat(2)
}

func (f osFile) data(off int64) (int64, error) {
	at, err := unix.Seek(int(f), off, unix.SEEK_DATA)
	switch err {
	case nil:
		return at, nil
	case unix.ENXIO:
		return 0, io.EOF
	}
	return off, nil // a filesystem that cannot tell
}

func (f osFile) close() error { return unix.Close(int(f)) }
