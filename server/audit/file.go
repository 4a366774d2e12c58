package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// turned is what follows the name of a file that was turned over: "-", and when.
const turned = "20060102T150405.000Z"

// file is the file that is written, and those before it.
type file struct {
	c       Config
	f       *os.File
	size    int64
	since   time.Time // when it was begun
	midLine bool      // the last byte written ends no line
	stuck   time.Time // before then it is not tried to turn it over again
}

func openFile(c Config) (*file, error) {
	w := &file{c: c}
	return w, w.open(0)
}

// open opens the file by its name, and closes the one before. A symbolic link
// and what is no plain file are refused: the log goes nowhere else than said.
func (w *file) open(flags int) error {
	mode := fs.FileMode(w.c.Mode)
	f, err := os.OpenFile(w.c.Path, os.O_RDWR|os.O_APPEND|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK|flags, mode)
	if err != nil {
		return cause(err)
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = errors.New("it is no plain file")
	}
	if err == nil && st.Mode().Perm() != mode { // an umask, or somebody's hand
		err = f.Chmod(mode)
	}
	if err != nil {
		f.Close()
		return cause(err)
	}
	w.Close()
	w.f, w.size, w.since, w.midLine = f, st.Size(), w.born(f, st), false
	last := make([]byte, 1)
	if _, err := f.ReadAt(last, w.size-1); w.size > 0 && err == nil && last[0] != '\n' {
		_, err = w.Write([]byte("\n")) // a crash cut the line; the next must not look like a part of it
		return err
	}
	return nil
}

// born is when the file was made, as far as its filesystem knows.
func (w *file) born(f *os.File, st fs.FileInfo) time.Time {
	var x unix.Statx_t
	err := unix.Statx(int(f.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_BTIME, &x)
	switch {
	case st.Size() == 0:
		return w.c.Now()
	case err == nil && x.Mask&unix.STATX_BTIME != 0:
		return time.Unix(x.Btime.Sec, int64(x.Btime.Nsec))
	}
	return st.ModTime()
}

func (w *file) Write(b []byte) (int, error) {
	n, err := w.write(b)
	w.size += int64(n)
	if n > 0 {
		w.midLine = b[n-1] != '\n'
	}
	return n, err
}

func (w *file) write(b []byte) (int, error) {
	if w.c.fault == nil {
		return w.f.Write(b)
	}
	can, bad := w.c.fault(len(b))
	n, err := w.f.Write(b[:can])
	return n, errors.Join(err, bad)
}

func (w *file) Sync() error { return w.f.Sync() }

func (w *file) Close() {
	if w.f != nil {
		w.f.Close()
	}
}

// reopen follows the name. If that can't be opened the old file is written on.
func (w *file) reopen() error {
	if w.midLine {
		return nil // soon enough
	}
	return w.open(0)
}

// follow reopens the file if its name means another one, or none.
func (w *file) follow() {
	here, err := w.f.Stat()
	if err != nil || w.midLine {
		return
	}
	there, err := os.Lstat(w.c.Path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(here, there) {
		_ = w.open(0) // it is tried again
	}
}

// due reports whether it is time for a fresh file.
func (w *file) due(now time.Time) bool {
	if w.size == 0 || w.midLine || now.Before(w.stuck) {
		return false
	}
	return w.size >= w.c.MaxSize || w.c.MaxAge > 0 && now.Sub(w.since) >= w.c.MaxAge
}

// rotate moves the file aside, begins a fresh one, and removes the oldest.
func (w *file) rotate() error {
	now := w.c.Now()
	old, err := Older(w.c.Path)
	aside := w.c.Path + "-" + now.UTC().Format(turned)
	if len(old) > 0 {
		aside = after(old[len(old)-1], aside)
	}
	if err == nil {
		err = os.Rename(w.c.Path, aside)
	}
	if err == nil {
		if err = w.open(os.O_EXCL); err != nil {
			err = errors.Join(err, os.Rename(aside, w.c.Path))
		}
	}
	if err != nil {
		w.stuck = now.Add(time.Minute)
		return err
	}
	return w.prune(now)
}

// after is want, or a name that comes right after last if want does not come
// after it: a clock may stand still or be set back.
func after(last, want string) string {
	stamp := len(want)
	if want[:stamp] > last[:stamp] {
		return want
	}
	n, _ := strconv.Atoi(strings.TrimPrefix(last[stamp:], "-"))
	return fmt.Sprintf("%s-%06d", last[:stamp], n+1)
}

// prune removes all full files but the newest Keep and those with lines of the
// last KeepFor: who floods the log can fill its disk, and then OnError says
// what becomes of what he does, but he can take away no line before its time.
func (w *file) prune(now time.Time) error {
	old, err := Older(w.c.Path)
	if err != nil {
		return err
	}
	var errs []error
	for len(old) > w.c.Keep && (w.c.KeepFor == 0 || EndedBefore(w.c.Path, old[0], now.Add(-w.c.KeepFor))) {
		errs = append(errs, os.Remove(old[0]))
		old = old[1:]
	}
	return errors.Join(errs...)
}

// Older are the files that path was turned over to, oldest first.
func Older(path string) (old []string, err error) {
	all, err := os.ReadDir(filepath.Dir(path))
	for _, e := range all {
		rest, ok := strings.CutPrefix(e.Name(), filepath.Base(path)+"-")
		if !ok || len(rest) < len(turned) || !e.Type().IsRegular() {
			continue
		}
		if _, err := time.Parse(turned, rest[:len(turned)]); err == nil {
			old = append(old, filepath.Join(filepath.Dir(path), e.Name()))
		}
	}
	slices.Sort(old)
	return old, err
}

// cause is an error of the system without the path, which whoever tells says.
func cause(err error) error {
	if p := (*fs.PathError)(nil); errors.As(err, &p) {
		return p.Err
	}
	return err
}
