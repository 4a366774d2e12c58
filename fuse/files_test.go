package fuse

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestFiles goes through the life of a file.
func TestFiles(t *testing.T) {
	w := mount(t, Options{})
	a, b := w.path("a"), w.path("b")
	write(t, a, "hello")
	_, err := os.OpenFile(a, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	want(t, "O_EXCL of what is there", err, syscall.EEXIST)

	f, err := os.OpenFile(a, os.O_RDWR|os.O_APPEND, 0)
	must(t, err)
	defer f.Close()
	_, err = f.WriteString(" world")
	must(t, err)
	if got := read(t, a); got != "hello world" {
		t.Errorf("after an append: %q", got)
	}
	if st := stat(t, a); st.Size != 11 {
		t.Errorf("size %d before the close, want 11", st.Size)
	}
	write(t, a, "short") // O_TRUNC under the open handle
	if got := read(t, a); got != "short" {
		t.Errorf("after O_TRUNC: %q", got)
	}
	must(t, f.Truncate(8))
	if got := read(t, a); got != "short\x00\x00\x00" {
		t.Errorf("after growing: %q", got)
	}
	must(t, os.Truncate(a, 2))
	if got := read(t, a); got != "sh" {
		t.Errorf("after shrinking: %q", got)
	}

	write(t, b, "other")
	must(t, os.Rename(a, b))
	if got := read(t, b); got != "sh" {
		t.Errorf("after a rename over it: %q", got)
	}
	must(t, os.Remove(b))
	_, err = f.WriteString("gone")
	must(t, err)
	got := make([]byte, 10)
	if n, err := f.ReadAt(got, 0); string(got[:n]) != "shgone" || err != io.EOF {
		t.Errorf("unlinked and open: %q, %v", got[:n], err)
	}
	fi, err := f.Stat()
	must(t, err)
	if st := fi.Sys().(*syscall.Stat_t); st.Nlink != 0 || st.Size != 6 {
		t.Errorf("unlinked and open: %d links, %d bytes", st.Nlink, st.Size)
	}
	_, err = os.Stat(b)
	want(t, "stat of the unlinked", err, syscall.ENOENT)
}

// TestErrors asks for the errno that ext4 has.
func TestErrors(t *testing.T) {
	w := mount(t, Options{})
	must(t, os.MkdirAll(w.path("d", "sub"), 0o755))
	write(t, w.path("f"), "")
	long := strings.Repeat("x", 256)
	_, openErr := os.Open(w.path("f", "x"))
	for _, c := range []struct {
		what string
		want syscall.Errno
		got  error
	}{
		{"rmdir of a full directory", syscall.ENOTEMPTY, syscall.Rmdir(w.path("d"))},
		{"rmdir of a file", syscall.ENOTDIR, syscall.Rmdir(w.path("f"))},
		{"unlink of a directory", syscall.EISDIR, syscall.Unlink(w.path("d"))},
		{"mkdir over a file", syscall.EEXIST, syscall.Mkdir(w.path("f"), 0o755)},
		{"a name of 256 bytes", syscall.ENAMETOOLONG, syscall.Mkdir(w.path(long), 0o755)},
		{"lookup of 256 bytes", syscall.ENAMETOOLONG, syscall.Access(w.path(long), 0)},
		{"a file as a directory", syscall.ENOTDIR, openErr},
		{"a loop by rename", syscall.EINVAL, syscall.Rename(w.path("d"), w.path("d", "sub", "d"))},
		{"RENAME_NOREPLACE", syscall.EEXIST, unix.Renameat2(-1, w.path("f"), -1, w.path("d"), unix.RENAME_NOREPLACE)},
		{"RENAME_WHITEOUT", syscall.EINVAL, unix.Renameat2(-1, w.path("f"), -1, w.path("g"), unix.RENAME_WHITEOUT)},
		{"readlink of a file", syscall.EINVAL, func() error { _, err := os.Readlink(w.path("f")); return err }()},
		{"link of a directory", syscall.EPERM, syscall.Link(w.path("d"), w.path("e"))},
		{"truncate of a directory", syscall.EISDIR, syscall.Truncate(w.path("d"), 0)},
		{"fallocate that collapses", syscall.EOPNOTSUPP, func() error {
			f, err := os.OpenFile(w.path("f"), os.O_RDWR, 0)
			must(t, err)
			defer f.Close()
			return unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_COLLAPSE_RANGE, 0, 4096)
		}()},
	} {
		if !errors.Is(c.got, c.want) {
			t.Errorf("%s: %v, want %v", c.what, c.got, c.want)
		}
	}
	must(t, syscall.Mkdir(w.path(long[:255]), 0o755))
	must(t, unix.Renameat2(-1, w.path("f"), -1, w.path("d"), unix.RENAME_EXCHANGE))
	if st := stat(t, w.path("f", "sub")); st.Mode&syscall.S_IFMT != syscall.S_IFDIR {
		t.Error("RENAME_EXCHANGE exchanged nothing")
	}
}

// TestData writes at random places from two descriptors and compares with a
// model, through reads of every kind.
func TestData(t *testing.T) {
	w := mount(t, Options{})
	f, err := os.Create(w.path("f"))
	must(t, err)
	defer f.Close()
	g, err := os.OpenFile(w.path("f"), os.O_RDWR, 0)
	must(t, err)
	defer g.Close()
	r := rand.New(rand.NewSource(1))
	model := make([]byte, 3<<20)
	size := 0
	for i := range 200 {
		off, n := r.Intn(len(model)), r.Intn(64<<10)
		n = min(n, len(model)-off)
		r.Read(model[off : off+n])
		size = max(size, off+n)
		_, err := []*os.File{f, g}[i%2].WriteAt(model[off:off+n], int64(off))
		must(t, err)
		if i%50 == 25 {
			must(t, g.Sync())
			cut := r.Intn(size)
			must(t, f.Truncate(int64(cut)))
			clear(model[cut:])
			size = cut
		}
	}
	got := make([]byte, len(model)+1)
	n, err := f.ReadAt(got, 0)
	if err != io.EOF || !bytes.Equal(got[:n], model[:size]) {
		t.Errorf("read %d of %d bytes (%v); equal: %v", n, size, err, bytes.Equal(got[:n], model[:size]))
	}
	must(t, f.Close())
	must(t, g.Close())
	if !bytes.Equal([]byte(read(t, w.path("f"))), model[:size]) {
		t.Error("differs after the close")
	}
	// The copy goes by copy_file_range, which the kernel does by itself here.
	w.sh(t, nil, "cp f g; cmp f g; dd if=g of=h bs=4096 iflag=direct oflag=direct status=none; cmp -n 4096 g h")
}

// TestSyncWrites sees that a write through O_DSYNC is durable when it returns.
func TestSyncWrites(t *testing.T) {
	w := mount(t, Options{})
	for _, c := range []struct {
		flag int
		want bool
	}{{0, false}, {unix.O_DSYNC, true}, {unix.O_SYNC, true}} {
		f, err := os.OpenFile(w.path(fmt.Sprint("f", c.flag)), os.O_CREATE|os.O_WRONLY|c.flag, 0o644)
		must(t, err)
		before := w.blocks.synced()
		_, err = f.WriteString("x")
		must(t, err)
		if got := w.blocks.synced() > before; got != c.want {
			t.Errorf("flags %#x: synced is %v, want %v", c.flag, got, c.want)
		}
		must(t, f.Close())
	}
}

// TestPages counts reads: none for pages that the kernel has and that are
// true, after the file's own writer closed it too; one after another mount
// changed it.
func TestPages(t *testing.T) {
	w := mount(t, Options{})
	other := mountOf(t, w.tree, w.blocks, 2, Options{})
	write(t, w.path("f"), "mine")
	for range 3 {
		before := w.requests("read")
		if got := read(t, w.path("f")); got != "mine" {
			t.Fatalf("read %q", got)
		}
		if n := w.requests("read") - before; n > 1 {
			t.Errorf("%d reads, want none but the one at the end of the file", n)
		}
	}
	before := w.requests("read")
	read(t, w.path("f"))
	if n := w.requests("read") - before; n != 0 {
		t.Errorf("%d reads of pages that are there", n)
	}
	f, err := os.OpenFile(other.path("f"), os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteString("your") // of the same size
	must(t, err)
	must(t, f.Close())
	if got := read(t, w.path("f")); got != "your" {
		t.Errorf("after a close on the other mount: %q", got)
	}
}

// TestTwoMounts sees on one mount what another closed, made, removed.
func TestTwoMounts(t *testing.T) {
	w := mount(t, Options{})
	other := mountOf(t, w.tree, w.blocks, 2, Options{AttrTimeout: -1, EntryTimeout: -1})
	for i := range 20 {
		text := strings.Repeat(fmt.Sprint(i), 1+i*1000)
		write(t, w.path("f"), text)
		if got := read(t, other.path("f")); got != text {
			t.Fatalf("round %d: %d bytes, want %d", i, len(got), len(text))
		}
		must(t, os.Rename(w.path("f"), w.path("g")))
		_, err := os.Stat(other.path("f"))
		want(t, "stat of what was renamed on the other mount", err, syscall.ENOENT)
		must(t, os.Rename(other.path("g"), other.path("f")))
		must(t, os.Remove(other.path("f")))
	}
	f, err := os.Create(w.path("open"))
	must(t, err)
	defer f.Close()
	must(t, os.Remove(other.path("open")))
	_, err = f.WriteString("still")
	must(t, err)
	must(t, f.Sync())
}

// TestNotify makes the kernel forget what it may believe for an hour.
func TestNotify(t *testing.T) {
	const hour = 3600e9
	w := mount(t, Options{AttrTimeout: hour, EntryTimeout: hour, NegativeTimeout: hour})
	other := mountOf(t, w.tree, w.blocks, 2, Options{})
	await := func(what string, ok func() bool) {
		t.Helper()
		for !ok() { // the watchdog ends it
			if t.Failed() {
				t.Fatal(what)
			}
		}
	}
	write(t, w.path("f"), "x")
	ino := stat(t, w.path("f")).Ino
	must(t, os.Chmod(other.path("f"), 0o600))
	if m := stat(t, w.path("f")).Mode & 0o777; m != 0o644 {
		t.Fatalf("mode %o: the kernel asked within its timeout", m)
	}
	w.InvalidateInode(posixIno(ino), -1, 0)
	await("the attributes", func() bool { return stat(t, w.path("f")).Mode&0o777 == 0o600 })

	_, err := os.Stat(w.path("new"))
	want(t, "stat of what is not there", err, syscall.ENOENT)
	write(t, other.path("new"), "y")
	_, err = os.Stat(w.path("new"))
	want(t, "stat of what was not there", err, syscall.ENOENT)
	w.InvalidateEntry(1, "new")
	await("the new name", func() bool { _, err := os.Stat(w.path("new")); return err == nil })

	must(t, os.Remove(other.path("f")))
	w.Delete(1, posixIno(ino), "f")
	await("the removed name", func() bool { _, err := os.Stat(w.path("f")); return err != nil })
}

// childMmap changes a file through a shared mapping, grows it and shrinks it
// under the mapping, and compares with reads.
func childMmap(args []string) error {
	f, err := os.OpenFile(args[0], os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	page := os.Getpagesize()
	if _, err := f.WriteAt(bytes.Repeat([]byte("a"), 4*page), 0); err != nil {
		return err
	}
	m, err := unix.Mmap(int(f.Fd()), 0, 4*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	copy(m[page-2:], "mapped")
	if _, err := f.WriteAt([]byte("written"), int64(2*page)); err != nil {
		return err
	}
	if got := string(m[2*page : 2*page+7]); got != "written" {
		return fmt.Errorf("the mapping shows %q of a write", got)
	}
	if err := unix.Msync(m, unix.MS_SYNC); err != nil {
		return err
	}
	if err := f.Truncate(int64(page) + 10); err != nil {
		return err
	}
	if err := f.Truncate(int64(4 * page)); err != nil {
		return err
	}
	if m[page+9] != 'a' || m[page+10] != 0 || m[2*page] != 0 {
		return fmt.Errorf("after cutting and growing: %q %d %d", m[page+9], m[page+10], m[2*page])
	}
	copy(m[3*page:], "last")
	if err := unix.Munmap(m); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	b, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	if string(b[page-2:page+4]) != "mapped" || string(b[3*page:3*page+4]) != "last" || len(b) != 4*page {
		return fmt.Errorf("the file has %q, %q and %d bytes", b[page-2:page+4], b[3*page:3*page+4], len(b))
	}
	return nil
}

func TestMmap(t *testing.T) {
	w := mount(t, Options{})
	out, err := child("mmap", w.path("f")).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	b := []byte(read(t, w.path("f")))
	if page := os.Getpagesize(); string(b[3*page:3*page+4]) != "last" {
		t.Errorf("another process reads %q", b[3*page:3*page+4])
	}
}

// TestExec runs a program from the mount, which maps it, and refuses to write
// to it meanwhile.
func TestExec(t *testing.T) {
	w := mount(t, Options{})
	self, err := os.ReadFile("/proc/self/exe")
	must(t, err)
	must(t, os.WriteFile(w.path("prog"), self, 0o755))
	cmd := exec.Command("/bin/sh", "-c", `exec "$0"`, w.path("prog")) // see world.try
	cmd.Env = append(os.Environ(), childEnv+"=wait")
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	_, err = io.ReadFull(out, make([]byte, 1))
	must(t, err)
	_, err = os.OpenFile(w.path("prog"), os.O_WRONLY, 0)
	want(t, "write to a program that runs", err, syscall.ETXTBSY)
	must(t, in.Close())
	must(t, cmd.Wait())
	w.sh(t, nil, "printf '#!/bin/sh\necho ran\n' >script; chmod +x script; test \"$(./script)\" = ran; chmod -x script; ! ./script")
}

// childWait says that it runs, and runs until its input ends.
func childWait([]string) error {
	fmt.Print("r")
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// TestConcurrent lets many threads work on files of their own and on one that
// they share, each in its own part.
func TestConcurrent(t *testing.T) {
	w := mount(t, Options{})
	shared, err := os.Create(w.path("shared"))
	must(t, err)
	defer shared.Close()
	const threads, part = 16, 32 << 10
	var wg sync.WaitGroup
	for i := range threads {
		wg.Go(func() {
			mine := bytes.Repeat([]byte{byte('a' + i)}, part)
			for round := range 8 {
				name := w.path(fmt.Sprintf("f%d-%d", i, round))
				if err := errors.Join(
					os.WriteFile(name, mine, 0o644),
					os.Rename(name, name+"x"),
					os.Mkdir(name, 0o755),
				); err != nil {
					t.Error(err)
				}
				if b, err := os.ReadFile(name + "x"); err != nil || !bytes.Equal(b, mine) {
					t.Errorf("%s: %d bytes, %v", name, len(b), err)
				}
				if _, err := shared.WriteAt(mine, int64(i*part)); err != nil {
					t.Error(err)
				}
				if err := errors.Join(os.Remove(name+"x"), os.Remove(name)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	b := []byte(read(t, w.path("shared")))
	for i := range threads {
		if !bytes.Equal(b[i*part:(i+1)*part], bytes.Repeat([]byte{byte('a' + i)}, part)) {
			t.Errorf("part %d is damaged", i)
		}
	}
}
