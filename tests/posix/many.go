package posix

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/wardfs/wardfs/tests/harness"
)

var manyChecks = []check{
	{"open", manyOpen},
	{"append", manyAppend},
	{"create", manyCreate},
	{"readers", manyReaders},
	{"locks", manyLocks},
}

func itoa(n int) string { return strconv.Itoa(n) }

// manyOpen holds more files open than any table of small fixed size.
func manyOpen(t *testing.T, dir string) {
	const n = 2000
	files := make([]*os.File, n)
	for i := range files {
		var err error
		files[i], err = os.OpenFile(filepath.Join(dir, itoa(i)), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o644)
		ok(t, err)
		_, err = files[i].WriteString(itoa(i))
		ok(t, err)
	}
	for i, f := range files {
		b := make([]byte, 10)
		n, err := f.ReadAt(b, 0)
		if err != io.EOF {
			t.Fatal(err)
		}
		equal(t, "content", string(b[:n]), itoa(i))
	}
	for _, f := range files {
		ok(t, f.Close())
	}
	equal(t, "names", len(list(t, dir)), n)
}

// manyAppend: processes that append to one file lose and tear nothing.
func manyAppend(t *testing.T, dir string) {
	const procs, records = 4, 150
	name := filepath.Join(dir, "log")
	var cmds []*exec.Cmd
	for p := range procs {
		cmd := harness.Child("posix-append", name, itoa(p), itoa(records))
		cmd.Stderr = os.Stderr
		ok(t, cmd.Start())
		cmds = append(cmds, cmd)
	}
	for _, cmd := range cmds {
		if err := cmd.Wait(); err != nil {
			t.Errorf("a writer: %v", err)
		}
	}
	f := open(t, name, os.O_RDONLY, 0)
	next := make([]int, procs)
	lines := 0
	for s := bufio.NewScanner(f); s.Scan(); lines++ {
		var p, i int
		var tail string
		if n, _ := fmt.Sscanf(s.Text(), "%d %d %s", &p, &i, &tail); n != 3 || tail != appendTail(p, i) {
			t.Fatalf("line %d is torn: %.80q", lines, s.Text())
		}
		equal(t, fmt.Sprintf("the next record of process %d", p), i, next[p])
		next[p]++
	}
	equal(t, "records", lines, procs*records)
}

func appendTail(p, i int) string { return strings.Repeat(string(rune('a'+p)), 1+i*37%3000) }

// appendChild appends records to a file, each by one write(2).
func appendChild(args []string) error {
	f, err := os.OpenFile(args[0], os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	p, _ := strconv.Atoi(args[1])
	records, _ := strconv.Atoi(args[2])
	for i := range records {
		if _, err := fmt.Fprintf(f, "%d %d %s\n", p, i, appendTail(p, i)); err != nil {
			return err
		}
	}
	return f.Close()
}

// manyCreate: many hands in one directory.
func manyCreate(t *testing.T, dir string) {
	const workers, each = 16, 40
	errs := make(chan error, workers)
	for w := range workers {
		go func() {
			for i := range each {
				a, b := filepath.Join(dir, fmt.Sprint("a", w, "-", i)), filepath.Join(dir, fmt.Sprint("b", w, "-", i))
				if err := os.WriteFile(a, []byte(a), 0o644); err != nil {
					errs <- err
					return
				}
				if err := errors.Join(os.Rename(a, b), os.Link(b, a), os.Remove(b)); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for range workers {
		ok(t, <-errs)
	}
	names := list(t, dir)
	equal(t, "names", len(names), workers*each)
	for _, n := range names {
		equal(t, "content", content(t, filepath.Join(dir, n)), filepath.Join(dir, n))
		equal(t, "nlink", stat(t, filepath.Join(dir, n)).Nlink, 1)
	}
}

// manyReaders: one file under many threads, each with an offset of its own.
func manyReaders(t *testing.T, dir string) {
	name := filepath.Join(dir, "f")
	data := make([]byte, 9<<20)
	for i := range data {
		data[i] = byte(i>>12 ^ i)
	}
	ok(t, os.WriteFile(name, data, 0o644))
	f := open(t, name, os.O_RDONLY, 0)
	var wg sync.WaitGroup
	for w := range 32 {
		wg.Go(func() {
			b := make([]byte, 100001)
			for i := range 20 {
				at := (w*7919*1009 + i*104729*31) % (len(data) - len(b))
				if _, err := f.ReadAt(b, int64(at)); err != nil {
					t.Error(err)
				} else if !bytes.Equal(b, data[at:at+len(b)]) {
					t.Errorf("at %d: wrong bytes", at)
				}
			}
		})
	}
	wg.Wait()
}

// manyLocks: what one process has locked another does not get, by any of the
// three families, and death unlocks.
func manyLocks(t *testing.T, dir string) {
	name := filepath.Join(dir, "f")
	put(t, name, "0123456789")
	for _, family := range []string{"flock", "posix", "ofd"} {
		cmd := harness.Child("posix-lock", family, name)
		in, err := cmd.StdinPipe()
		ok(t, err)
		out, err := cmd.StdoutPipe()
		ok(t, err)
		ok(t, cmd.Start())
		_, err = io.ReadFull(out, make([]byte, 1)) // it has the lock
		ok(t, err)
		f := open(t, name, os.O_RDWR, 0)
		refused(t, family+": held by another process", tryLock(f, family), unix.EAGAIN, unix.EACCES)
		ok(t, in.Close())
		ok(t, cmd.Wait())
		// Nobody waits for the last close of what a dead process had open.
		ok(t, harness.Until(func() error { return tryLock(f, family) }))
		ok(t, f.Close())
	}
}

func tryLock(f *os.File, family string) error {
	lock := unix.Flock_t{Type: unix.F_WRLCK, Start: 2, Len: 3}
	switch family {
	case "flock":
		return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	case "posix":
		return unix.FcntlFlock(f.Fd(), unix.F_SETLK, &lock)
	default:
		return unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &lock)
	}
}

// lockChild takes the lock, says so, and ends without unlocking when its
// standard input does.
func lockChild(args []string) error {
	f, err := os.OpenFile(args[1], os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if err := tryLock(f, args[0]); err != nil {
		return err
	}
	os.Stdout.Write([]byte("L"))
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}
