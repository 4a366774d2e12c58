package fuse

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/wardfs/wardfs/client/file"
	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/engine/mem"
	"github.com/wardfs/wardfs/server/namespace"
)

// TestUsers acts as others: each makes files of its own, and supplementary
// groups count, though no request carries them.
func TestUsers(t *testing.T) {
	needRoot(t)
	w := mount(t, Options{})
	alice, member, bob := user(1001, 1001), user(1002, 1002, 3000, 4000), user(1003, 1003)

	w.sh(t, alice, "echo mine >a; chmod 600 a")
	if st := stat(t, w.path("a")); st.Uid != 1001 || st.Gid != 1001 {
		t.Errorf("alice's file is %d:%d", st.Uid, st.Gid)
	}
	w.denied(t, bob, syscall.EACCES, "cat a")
	w.denied(t, bob, syscall.EPERM, "chmod 644 a")
	w.denied(t, bob, syscall.EPERM, "chown 1003 a")
	w.sh(t, nil, "cat a")

	w.sh(t, nil, "mkdir g; chgrp 4000 g; chmod 2770 g; echo x >g/f; chmod 640 g/f")
	w.sh(t, member, "cat g/f; echo y >g/mine; mkdir g/sub")
	if st := stat(t, w.path("g", "mine")); st.Uid != 1002 || st.Gid != 4000 {
		t.Errorf("a file in a setgid directory is %d:%d", st.Uid, st.Gid)
	}
	if st := stat(t, w.path("g", "sub")); st.Gid != 4000 || st.Mode&0o2000 == 0 {
		t.Errorf("a directory in a setgid directory is of group %d, mode %o", st.Gid, st.Mode)
	}
	w.denied(t, bob, syscall.EACCES, "ls g")
	w.denied(t, member, syscall.EACCES, "echo z >g/f")

	// What an operation does, and not only whether it may, depends on groups.
	w.sh(t, member, "echo x >own; chgrp 3000 own; chmod 2755 own")
	if st := stat(t, w.path("own")); st.Gid != 3000 || st.Mode&0o7777 != 0o2755 {
		t.Errorf("after chgrp and chmod g+s: group %d, mode %o", st.Gid, st.Mode&0o7777)
	}
	w.denied(t, member, syscall.EPERM, "chgrp 5000 own")
	w.sh(t, nil, "chown 1003:3000 own; chmod 755 own")
	w.sh(t, bob, "chmod 2755 own") // not in the group: the bit is dropped, without a word
	if st := stat(t, w.path("own")); st.Mode&0o7777 != 0o755 {
		t.Errorf("chmod g+s by a stranger to the group: mode %o", st.Mode&0o7777)
	}

	w.sh(t, nil, "mkdir -m 1777 sticky")
	w.sh(t, alice, "echo x >sticky/a; chmod 666 sticky/a")
	w.denied(t, bob, syscall.EPERM, "rm sticky/a")
	w.denied(t, bob, syscall.EPERM, "mv sticky/a sticky/b")
}

// TestSetID sees the set-id bits go when a stranger changes the file's bytes,
// by each way of doing so, and stay for root.
func TestSetID(t *testing.T) {
	needRoot(t)
	w := mount(t, Options{})
	bob := user(1003, 1003)
	for _, c := range []struct {
		name string
		want uint32
		who  *syscall.SysProcAttr
		do   string
	}{
		{"write", 0o777, bob, "echo x >>f"},
		{"O_TRUNC", 0o777, bob, "echo x >f"},
		{"truncate", 0o777, bob, "truncate -s 3 f"},
		{"growing", 0o777, bob, "truncate -s 300 f"},
		{"write by root", 0o6777, nil, "echo x >>f"},
		{"truncate by root", 0o6777, nil, "truncate -s 3 f"},
		{"read", 0o6777, bob, "cat f"},
		{"chown by root", 0o777, nil, "chown 1001 f"},
	} {
		w.sh(t, nil, "rm -f f; echo some text >f; chmod 6777 f")
		w.sh(t, c.who, c.do)
		if got := stat(t, w.path("f")).Mode & 0o7777; got != c.want {
			t.Errorf("%s: mode %o, want %o", c.name, got, c.want)
		}
	}
	// Through a handle that was open before the bits were set.
	if got := w.sh(t, bob, "exec 3>>g; chmod 6777 g; echo x >&3; stat -c %a g"); got != "777" {
		t.Errorf("written through a handle from before: mode %s, want 777", got)
	}
}

// childServe becomes a plain user in a mount namespace where users may open
// /dev/fuse, as udev lets them everywhere, mounts, and serves until its input
// ends.
func childServe(args []string) error {
	mnt, dev := args[0], args[1]
	if err := unix.Mount(dev, device, "", unix.MS_BIND, ""); err != nil {
		return err
	}
	if err := errors.Join(syscall.Setgroups(nil), syscall.Setgid(65534), syscall.Setuid(65534)); err != nil {
		return err
	}
	c := namespace.Config{Engine: mem.New()}
	c.Root.UID, c.Root.GID = 65534, 65534
	tree, err := namespace.Open(context.Background(), c)
	if err != nil {
		return err
	}
	m, err := Mount(mnt, Config{
		As:      func(c posix.Cred) posix.Namespace { return tree.As(c).In(1) },
		Files:   file.New(file.Config{Blocks: &blocks{data: map[posix.BlockID][]byte{}}}),
		Options: Options{AllowOther: true},
	})
	if err != nil {
		return err
	}
	if _, err := os.Stdout.WriteString("r"); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	err = m.Unmount()
	m.Wait()
	return err
}

// TestPlainUser mounts through fusermount3, on a directory of the user's own
// alone, and keeps others out unless /etc/fuse.conf lets them in.
func TestPlainUser(t *testing.T) {
	needRoot(t)
	needFUSE(t)
	if _, err := fusermountBinary(); err != nil {
		t.Skip("needs fusermount3")
	}
	dir := sharedDir(t)
	mnt, dev := filepath.Join(dir, "mnt"), filepath.Join(dir, "fuse")
	must(t, os.Mkdir(mnt, 0o755))
	must(t, unix.Mknod(dev, unix.S_IFCHR|0o666, int(unix.Mkdev(10, 229))))
	must(t, os.Chmod(dev, 0o666))
	if fd, err := unix.Open(dev, unix.O_RDWR, 0); err != nil {
		t.Skipf("no devices can be used in %s: %v", dir, err)
	} else {
		unix.Close(fd)
	}

	serve := func() (cmd *exec.Cmd, in io.Closer, said string) {
		cmd = child("serve", mnt, dev)
		cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS}
		var stderr strings.Builder
		cmd.Stderr = &stderr
		in, err := cmd.StdinPipe()
		must(t, err)
		out, err := cmd.StdoutPipe()
		must(t, err)
		must(t, cmd.Start())
		if _, err := io.ReadFull(out, make([]byte, 1)); err != nil {
			cmd.Wait()
			return nil, nil, stderr.String()
		}
		return cmd, in, ""
	}
	if cmd, _, said := serve(); cmd != nil || !strings.Contains(said, "not permitted") {
		t.Fatalf("mounted on another's directory: %q", said)
	}
	must(t, os.Chown(mnt, 65534, 65534))
	cmd, in, said := serve()
	if cmd == nil {
		t.Fatal(said)
	}
	// as runs a script in the child's mount namespace.
	as := func(uid uint32, script string) (string, error) {
		who := user(uid, uid)
		who.Chroot = fmt.Sprintf("/proc/%d/root", cmd.Process.Pid)
		sh := exec.Command("/bin/sh", "-ec", script)
		sh.Dir, sh.SysProcAttr = "/", who
		out, err := sh.CombinedOutput()
		return strings.TrimSpace(string(out)), err
	}
	if got, err := as(65534, "cd "+mnt+"; echo x >f; cat f; stat -c %u:%a f"); err != nil || got != "x\n65534:644" {
		t.Errorf("the user has %q, %v", got, err)
	}
	if out, err := as(1002, "ls "+mnt); (err == nil) != mayAllowOther("/etc/fuse.conf") {
		t.Errorf("another user has %q, %v", out, err)
	}
	must(t, in.Close())
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}
