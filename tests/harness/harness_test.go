package harness

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestMain(m *testing.M) { Main(m, nil) }

// TestGuard kills a test binary that has a ward up, as a timeout or an impatient
// user does: nothing may stay mounted, running or on the disk.
func TestGuard(t *testing.T) {
	needMount(t)
	cmd := exec.Command(os.Args[0], "-test.run=^TestOrphan$")
	cmd.Env = append(os.Environ(), "WARDFS_ORPHAN=1")
	in, err := cmd.StdinPipe() // keeps the orphan waiting
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var mnt, root string
	var pid int
	for s := bufio.NewScanner(out); pid == 0 && s.Scan(); {
		if strings.HasPrefix(s.Text(), "orphan ") {
			if _, err := fmt.Sscan(s.Text(), new(string), &mnt, &root, &pid); err != nil {
				t.Fatal(err)
			}
		}
	}
	if pid == 0 || !Mounted(mnt) {
		t.Fatalf("the orphan did not come up (%q)", mnt)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	gone := func() bool {
		_, err := os.Stat(root)
		return !Mounted(mnt) && syscall.Kill(pid, 0) == syscall.ESRCH && os.IsNotExist(err)
	}
	for late := time.Now().Add(patience); !gone(); time.Sleep(10 * time.Millisecond) { // another's child: no event to await
		if time.Now().After(late) {
			t.Fatalf("left behind: mounted %v, process %v, %s", Mounted(mnt), syscall.Kill(pid, 0), root)
		}
	}
}

// TestOrphan is the test that TestGuard kills.
func TestOrphan(t *testing.T) {
	if os.Getenv("WARDFS_ORPHAN") == "" {
		return
	}
	w := Start(t)
	fmt.Println("orphan", w.Mount(), session.root, w.Pid())
	io.Copy(io.Discard, os.Stdin)
}

func TestSnapshotSees(t *testing.T) {
	dir := LocalDir(t)
	if err := Plant(dir); err != nil {
		t.Fatal(err)
	}
	before, err := Take(dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(path string) error{
		"sizes/4097":  func(p string) error { return os.WriteFile(p, make([]byte, 4097), 0) },
		"modes/600":   func(p string) error { return os.Chmod(p, 0o601) },
		"links/sym":   func(p string) error { return os.Lchown(p, 1, 2) },
		"many/3/3":    func(p string) error { return syscall.Setxattr(p, "user.one", []byte("2"), 0) },
		"links/b":     os.Remove,
		"sizes/65536": func(p string) error { return os.Chtimes(p, time.Time{}, time.Unix(1e9, 1)) },
	} {
		if err := change(dir + "/" + name); err != nil {
			t.Fatal(err)
		}
		after, err := Take(dir, 0)
		if err != nil {
			t.Fatal(err)
		}
		if d := after.Diff(before); !strings.Contains(d, name) {
			t.Errorf("a change of %s is not seen: %s", name, d)
		}
		before = after
	}
}
