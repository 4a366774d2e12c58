package posix

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

var nameChecks = []check{
	{"bytes", nameBytes},
	{"length", nameLength},
	{"path", namePath},
	{"deep", nameDeep},
	{"statfs", nameStatfs},
}

func nameBytes(t *testing.T, dir string) {
	var names []string
	for b := 1; b < 256; b++ {
		if b != '/' && b != '.' {
			names = append(names, string([]byte{byte(b)}))
		}
	}
	names = append(names, "...", ". ", "-rf", "a\nb", "a b", "%s%n", `a\b`, "\xff\xfe\xfd", "ü", "u\u0308", "A", "*", "~", strings.Repeat("ä", 127))
	slices.Sort(names)
	names = slices.Compact(names)
	for _, n := range names {
		put(t, filepath.Join(dir, n), "content of "+n)
	}
	if got := list(t, dir); !slices.Equal(got, names) {
		t.Errorf("%d names were made, listed are others: %q", len(names), got)
	}
	for _, n := range names {
		equal(t, fmt.Sprintf("content of %q", n), content(t, filepath.Join(dir, n)), "content of "+n)
		ok(t, os.Remove(filepath.Join(dir, n)))
	}
}

func nameLength(t *testing.T, dir string) {
	long := filepath.Join(dir, strings.Repeat("n", 255))
	tooLong := long + "n"
	put(t, long, "x")
	equal(t, "content of a name of 255 bytes", content(t, long), "x")
	put(t, filepath.Join(dir, "f"), "")
	for what, err := range map[string]error{
		"create":  tryOpen(tooLong, unix.O_CREAT|unix.O_WRONLY, 0o644),
		"open":    tryOpen(tooLong, unix.O_RDONLY, 0),
		"mkdir":   unix.Mkdir(tooLong, 0o755),
		"mknod":   unix.Mkfifo(tooLong, 0o644),
		"symlink": unix.Symlink("x", tooLong),
		"link":    unix.Link(long, tooLong),
		"rename":  unix.Rename(long, tooLong),
		"unlink":  unix.Unlink(tooLong),
		"rmdir":   unix.Rmdir(tooLong),
		"stat":    unix.Stat(tooLong, new(unix.Stat_t)),
		"under":   unix.Stat(tooLong+"/x", new(unix.Stat_t)),
	} {
		refused(t, what+" of 256 bytes", err, unix.ENAMETOOLONG)
	}
}

// namePath: PATH_MAX is the kernel's, but the filesystem must not lower it.
func namePath(t *testing.T, dir string) {
	part := strings.Repeat("p", 200) + "/"
	path := dir + "/"
	for len(path)+len(part) < unix.PathMax-210 {
		path += part
		ok(t, os.Mkdir(path, 0o755))
	}
	longest := path + strings.Repeat("f", unix.PathMax-1-len(path))
	if len(filepath.Base(longest)) > 255 {
		t.Fatal("the test's arithmetic is wrong")
	}
	put(t, longest, "far")
	equal(t, "content at PATH_MAX", content(t, longest), "far")
	refused(t, "one byte more", unix.Stat(longest+"f", new(unix.Stat_t)), unix.ENAMETOOLONG)
	refused(t, "an empty path", unix.Stat("", new(unix.Stat_t)), unix.ENOENT)
}

// nameDeep goes down further than a path can say, step by step.
func nameDeep(t *testing.T, dir string) {
	const depth = 300
	name := strings.Repeat("d", 100)
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	ok(t, err)
	fds := []int{fd}
	for range depth {
		ok(t, unix.Mkdirat(fd, name, 0o755))
		fd, err = unix.Openat(fd, name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		ok(t, err)
		fds = append(fds, fd)
	}
	for i := depth; i >= 0; i-- {
		if i < depth {
			err = errors.Join(err, unix.Unlinkat(fds[i], name, unix.AT_REMOVEDIR))
		}
		unix.Close(fds[i])
	}
	ok(t, err)
}

func nameStatfs(t *testing.T, dir string) {
	var st unix.Statfs_t
	ok(t, unix.Statfs(dir, &st))
	if st.Bsize <= 0 || st.Frsize <= 0 {
		t.Errorf("block size %d, fragment size %d", st.Bsize, st.Frsize)
	}
	if st.Blocks == 0 || st.Bfree > st.Blocks || st.Bavail > st.Bfree {
		t.Errorf("blocks %d, free %d, available %d", st.Blocks, st.Bfree, st.Bavail)
	}
	if st.Files != 0 && st.Ffree > st.Files {
		t.Errorf("files %d, free %d", st.Files, st.Ffree)
	}
	equal(t, "longest name", st.Namelen, 255)
	f := open(t, filepath.Join(dir, "f"), os.O_CREATE|os.O_RDWR, 0o644)
	var byFd unix.Statfs_t
	ok(t, unix.Fstatfs(int(f.Fd()), &byFd))
	equal(t, "fstatfs and statfs: type", byFd.Type, st.Type)
	equal(t, "fstatfs and statfs: blocks", byFd.Blocks, st.Blocks)
}
