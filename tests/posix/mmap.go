package posix

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/wardfs/wardfs/tests/harness"
)

var mmapChecks = []check{
	{"shared", mmapShared},
	{"private", mmapPrivate},
	{"rights", mmapRights},
	{"tail", mmapTail},
	{"processes", mmapProcesses},
	{"unlinked", mmapUnlinked},
}

func mapFile(t testing.TB, f *os.File, size int, prot, flags int) []byte {
	t.Helper()
	m, err := unix.Mmap(int(f.Fd()), 0, size, prot, flags)
	ok(t, err)
	t.Cleanup(func() { unix.Munmap(m) })
	return m
}

const readWrite = unix.PROT_READ | unix.PROT_WRITE

func mmapShared(t *testing.T, dir string) {
	const size = 3 << 20
	name := filepath.Join(dir, "f")
	f := open(t, name, os.O_CREATE|os.O_RDWR, 0o644)
	ok(t, f.Truncate(size))
	m, err := unix.Mmap(int(f.Fd()), 0, size, readWrite, unix.MAP_SHARED)
	ok(t, err)
	want := make([]byte, size)
	for i := 0; i < size; i += 4099 {
		m[i], want[i] = byte(i), byte(i)
	}
	got := make([]byte, size)
	_, err = f.ReadAt(got, 0)
	ok(t, err)
	equal(t, "read sees what the map wrote", bytes.Equal(got, want), true)
	_, err = f.WriteAt([]byte("written"), 5000)
	ok(t, err)
	copy(want[5000:], "written")
	equal(t, "the map sees what write wrote", string(m[5000:5007]), "written")
	ok(t, unix.Msync(m, unix.MS_SYNC))
	m[size-1], want[size-1] = 'E', 'E' // after the msync: close must carry it
	ok(t, unix.Munmap(m))
	ok(t, f.Close())
	equal(t, "through a new open", content(t, name) == string(want), true)
	age(t, name)
	g := open(t, name, os.O_RDWR, 0)
	n := mapFile(t, g, size, readWrite, unix.MAP_SHARED)
	n[0]++
	ok(t, unix.Msync(n, unix.MS_SYNC))
	if stat(t, name).Mtim.Sec == 2000 {
		t.Error("a store to a shared map and msync leave mtime alone")
	}
}

func mmapPrivate(t *testing.T, dir string) {
	name := filepath.Join(dir, "f")
	put(t, name, "0123456789")
	f := open(t, name, os.O_RDONLY, 0)
	m := mapFile(t, f, 10, readWrite, unix.MAP_PRIVATE)
	equal(t, "the map", string(m), "0123456789")
	copy(m, "changed")
	equal(t, "the file", content(t, name), "0123456789")
}

func mmapRights(t *testing.T, dir string) {
	name := filepath.Join(dir, "f")
	put(t, name, "0123456789")
	r := open(t, name, os.O_RDONLY, 0)
	_, err := unix.Mmap(int(r.Fd()), 0, 10, readWrite, unix.MAP_SHARED)
	refused(t, "shared and writable on O_RDONLY", err, unix.EACCES)
	w := open(t, name, os.O_WRONLY, 0)
	_, err = unix.Mmap(int(w.Fd()), 0, 10, unix.PROT_READ, unix.MAP_SHARED)
	refused(t, "any on O_WRONLY", err, unix.EACCES)
	d := open(t, dir, os.O_RDONLY, 0)
	_, err = unix.Mmap(int(d.Fd()), 0, 10, unix.PROT_READ, unix.MAP_SHARED)
	refused(t, "of a directory", err, unix.ENODEV)
}

// mmapTail: behind the end a map's last page is zeros that never reach the file.
func mmapTail(t *testing.T, dir string) {
	name := filepath.Join(dir, "f")
	put(t, name, "0123456789")
	f := open(t, name, os.O_RDWR, 0)
	m := mapFile(t, f, 4096, readWrite, unix.MAP_SHARED)
	equal(t, "behind the end", bytes.Count(m[10:], []byte{0}), 4086)
	copy(m[100:], "beyond")
	ok(t, unix.Msync(m, unix.MS_SYNC))
	equal(t, "size", stat(t, name).Size, 10)
	ok(t, f.Truncate(4096))
	ok(t, f.Truncate(5))
	ok(t, f.Truncate(4096))
	equal(t, "what was cut off", content(t, name)[5:] == string(make([]byte, 4091)), true)
	equal(t, "in the map", string(m[:6]), "01234\x00")
}

// mmapProcesses: two processes with one map are as two threads.
func mmapProcesses(t *testing.T, dir string) {
	name := filepath.Join(dir, "f")
	f := open(t, name, os.O_CREATE|os.O_RDWR, 0o644)
	ok(t, f.Truncate(4096))
	m := mapFile(t, f, 4096, readWrite, unix.MAP_SHARED)
	cmd := harness.Child("posix-map", name)
	in, err := cmd.StdinPipe()
	ok(t, err)
	out, err := cmd.StdoutPipe()
	ok(t, err)
	ok(t, cmd.Start())
	b := make([]byte, 1)
	for i := range byte(20) {
		m[0] = i + 1
		_, err = in.Write(b) // your turn
		ok(t, err)
		_, err = io.ReadFull(out, b)
		ok(t, err)
		equal(t, "the child's answer", m[1], i+2)
	}
	ok(t, in.Close())
	ok(t, cmd.Wait())
}

// mapChild answers in byte 1 of the map the successor of byte 0.
func mapChild(args []string) error {
	f, err := os.OpenFile(args[0], os.O_RDWR, 0)
	if err != nil {
		return err
	}
	m, err := unix.Mmap(int(f.Fd()), 0, 4096, readWrite, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	b := make([]byte, 1)
	for {
		if _, err := os.Stdin.Read(b); err == io.EOF {
			return nil
		} else if err != nil {
			return fmt.Errorf("turn: %w", err)
		}
		m[1] = m[0] + 1
		if _, err := os.Stdout.Write(b); err != nil {
			return err
		}
	}
}

func mmapUnlinked(t *testing.T, dir string) {
	name := filepath.Join(dir, "f")
	data := bytes.Repeat([]byte("0123456789"), 100000)
	ok(t, os.WriteFile(name, data, 0o644))
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	ok(t, err)
	m := mapFile(t, f, len(data), readWrite, unix.MAP_SHARED)
	ok(t, f.Close()) // the map alone keeps the file
	ok(t, os.Remove(name))
	equal(t, "the map is whole", bytes.Equal(m, data), true)
	m[500000] = '!'
	ok(t, unix.Msync(m, unix.MS_SYNC))
	equal(t, "and can be changed", m[500000], '!')
}
