package fuse

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wardfs/wardfs/client/file"
	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/engine/mem"
	"github.com/wardfs/wardfs/server/namespace"
)

// blocks is a chunk store in memory that counts.
type blocks struct {
	mu    sync.Mutex
	data  map[posix.BlockID][]byte
	syncs int
}

func (b *blocks) Put(_ context.Context, _ []byte, id posix.BlockID, data []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.data[id] = bytes.Clone(data)
	return nil
}

func (b *blocks) Get(_ context.Context, _ []byte, id posix.BlockID, off uint32, dst []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	data, ok := b.data[id]
	if !ok || int(off)+len(dst) > len(data) {
		return posix.E("get", posix.EIO, fmt.Errorf("block %v", id))
	}
	copy(dst, data[off:])
	return nil
}

func (b *blocks) Sync(context.Context, []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.syncs++
	return nil
}

func (b *blocks) synced() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.syncs
}

// held is a namespace in which making the directory "held" takes for ever.
type held struct {
	posix.Namespace
	entered chan<- string
}

func (h held) Mkdir(ctx context.Context, dir posix.Ino, name string, mode, umask posix.Mode) (posix.Attr, error) {
	if name != "held" {
		return h.Namespace.Mkdir(ctx, dir, name, mode, umask)
	}
	h.entered <- name
	<-ctx.Done()
	return posix.Attr{}, posix.E("mkdir", posix.ErrnoOf(ctx.Err()), ctx.Err())
}

// world is a server in this process and a mount of it.
type world struct {
	*Mounted
	tree    *namespace.Tree
	blocks  *blocks
	files   *file.Files
	entered chan string // see held

	mu   sync.Mutex
	seen map[string]int // requests answered, by operation
}

// requests is how often op was answered so far.
func (w *world) requests(op string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen[op]
}

// path is a path on the mount.
func (w *world) path(elem ...string) string {
	return filepath.Join(append([]string{w.Dir()}, elem...)...)
}

// needFUSE skips where nothing can be mounted.
func needFUSE(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(device); err != nil {
		t.Skipf("needs %s: %v", device, err)
	}
	if os.Geteuid() == 0 {
		if f, err := os.OpenFile(device, os.O_RDWR, 0); err != nil {
			t.Skipf("needs the right to mount: %v", err)
		} else {
			f.Close()
		}
	} else if _, err := fusermountBinary(); err != nil {
		t.Skip("needs root or fusermount3")
	}
}

// needRoot skips what only root can arrange.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to act as other users")
	}
}

// sharedDir is a directory that every user can reach, unlike t.TempDir.
func sharedDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "wardfs-fuse")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func openTree(t *testing.T) *namespace.Tree {
	t.Helper()
	c := namespace.Config{Engine: mem.New()}
	c.Root.UID, c.Root.GID, c.Root.Mode = posix.UID(os.Geteuid()), posix.GID(os.Getegid()), 0o777
	tree, err := namespace.Open(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// mount mounts a fresh server for the test's time.
func mount(t *testing.T, o Options) *world {
	t.Helper()
	needFUSE(t)
	return mountOf(t, openTree(t), &blocks{data: map[posix.BlockID][]byte{}}, 1, o)
}

// mountOf is one more mount of a server, as its session s.
func mountOf(t *testing.T, tree *namespace.Tree, b *blocks, s namespace.SessionID, o Options) *world {
	t.Helper()
	w := &world{tree: tree, blocks: b, entered: make(chan string), seen: map[string]int{}}
	w.files = file.New(file.Config{Blocks: b, Memory: 32 << 20})
	o.AllowOther = true
	m, err := Mount(sharedDir(t), Config{
		As:      func(c posix.Cred) posix.Namespace { return held{tree.As(c).In(s), w.entered} },
		Files:   w.files,
		Source:  "test:/",
		Options: o,
		Log:     slog.New(slog.NewTextHandler(&logTo{t: t}, &slog.HandlerOptions{Level: slog.LevelWarn})),
		Observe: func(op string, _ posix.Errno, _ time.Duration) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.seen[op]++
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.Mounted = m
	called := watchdog(t, m.Dir())
	t.Cleanup(func() {
		called()
		if err := m.Unmount(); err != nil {
			t.Errorf("busy at the end of the test: %v", err)
			m.Detach()
		}
		m.Wait()
		if err := w.files.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return w
}

// watchdog cuts the connection of a mount whose test hangs: a process that
// waits for itself in the kernel can't even be killed. It is a process of its
// own, for this one may stand still as a whole. Call it back at the end.
func watchdog(t *testing.T, dir string) (back func()) {
	t.Helper()
	dog := child("watchdog", dir)
	leash, err := dog.StdinPipe()
	must(t, err)
	must(t, dog.Start())
	return func() {
		leash.Close()
		if err := dog.Wait(); err != nil {
			t.Error("the test hung, and its connection was cut")
		}
	}
}

// childWatchdog bites unless its input ends in time, which it does too when
// the one who holds it dies.
func childWatchdog(args []string) error {
	gone := make(chan struct{})
	go func() {
		io.Copy(io.Discard, os.Stdin)
		close(gone)
	}()
	select {
	case <-gone:
		return nil
	case <-time.After(2 * time.Minute):
		return errors.Join(errors.New("hangs"), unix.Unmount(args[0], unix.MNT_FORCE|unix.MNT_DETACH))
	}
}

// logTo makes a warning of the mount an error of the test.
type logTo struct{ t *testing.T }

func (l *logTo) Write(p []byte) (int, error) {
	l.t.Errorf("the mount warned: %s", p)
	return len(p), nil
}

// children are what this test binary does when it is run as another process:
// what needs another user, or would stop the runtime that also has to answer,
// as a page fault on a mapping does.
var children = map[string]func(args []string) error{
	"interrupted": childInterrupted,
	"mmap":        childMmap,
	"serve":       childServe,
	"wait":        childWait,
	"watchdog":    childWatchdog,
}

const childEnv = "WARDFS_FUSE_CHILD"

func TestMain(m *testing.M) {
	if name := os.Getenv(childEnv); name != "" {
		if err := children[name](os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child prepares a run of this binary as children[name].
func child(name string, args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), childEnv+"="+name, "GORACE=atexit_sleep_ms=0")
	return cmd
}

// user is who a child is run as.
func user(uid, gid uint32, groups ...uint32) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: gid, Groups: groups}}
}

// sh runs a script in the mount's root as a user, nil for this one, and
// answers what it printed.
func (w *world) sh(t *testing.T, who *syscall.SysProcAttr, script string) string {
	t.Helper()
	out, err := w.try(who, script)
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return out
}

// try lets the shell enter the mount, and start what lies there: until a child
// of this process has executed something else, this process stands still, and
// can't answer it.
func (w *world) try(who *syscall.SysProcAttr, script string) (string, error) {
	cmd := exec.Command("/bin/sh", "-ec", `cd "$0"; `+script, w.Dir())
	cmd.SysProcAttr = who
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// denied asks that a script is refused with the words of an errno.
func (w *world) denied(t *testing.T, who *syscall.SysProcAttr, e syscall.Errno, script string) {
	t.Helper()
	out, err := w.try(who, script)
	if err == nil || !strings.Contains(strings.ToLower(out), e.Error()) {
		t.Errorf("%s: %v %q, want %v", script, err, out, e)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// want asks for one error.
func want(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func write(t *testing.T, path, data string) {
	t.Helper()
	must(t, os.WriteFile(path, []byte(data), 0o644))
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	return string(b)
}

func stat(t *testing.T, path string) syscall.Stat_t {
	t.Helper()
	var st syscall.Stat_t
	if err := syscall.Lstat(path, &st); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return st
}
