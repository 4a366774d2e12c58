package main

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wardfs/wardfs/cmd/wardfs/mountopt"
	"github.com/wardfs/wardfs/fuse"
)

// fsType is how the kernel calls a mount of ours.
const fsType = "fuse.wardfs"

// mountAt is what lies on top at exactly that path.
func mountAt(path string) (top fuse.MountInfo, ok bool) {
	all, err := fuse.Mounts()
	if err != nil {
		return top, false
	}
	for _, m := range all {
		if m.On == path {
			top, ok = m, true
		}
	}
	return top, ok
}

// stillMounted reports whether a filesystem, by its "major:minor", is mounted
// anywhere.
func stillMounted(device string) bool {
	all, err := fuse.Mounts()
	if err != nil {
		return true
	}
	return slices.ContainsFunc(all, func(m fuse.MountInfo) bool { return m.Device == device })
}

// realPath is the path as the kernel has it. The last element is not looked at
// if something is mounted there: to stat a mount whose server is away would
// wait for it.
func realPath(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if parent, err := filepath.EvalSymlinks(filepath.Dir(abs)); err == nil {
		abs = filepath.Join(parent, filepath.Base(abs))
	}
	if _, ok := mountAt(abs); ok {
		return abs, nil
	}
	if p, err := filepath.EvalSymlinks(abs); err == nil {
		return p, nil
	}
	return abs, nil
}

// checkMountPoint answers why nothing can be mounted there, before anything is
// asked of a server. A mount of ours whose daemon has died is taken away.
func checkMountPoint(mnt string, o *mountopt.Options, log *slog.Logger) error {
	if isDead(mnt) {
		if err := clearDead(mnt, log); err != nil {
			return err
		}
	}
	if m, ok := mountAt(mnt); ok && !o.NonEmpty {
		return fail(exitInUse, "`wardfs umount "+mnt+"` takes it away", "mount point %s: %s (%s) is mounted there already", mnt, m.Source, m.Type)
	}
	st, err := os.Stat(mnt)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fail(exitMountPoint, "make it: mkdir -p "+mnt, "mount point %s does not exist", mnt)
	case err != nil:
		return fail(exitMountPoint, "choose another mount point", "mount point %s: %w", mnt, cause(err))
	case !st.IsDir():
		return fail(exitMountPoint, "choose a directory", "mount point %s is not a directory", mnt)
	}
	if err := checkUserMount(mnt, o); err != nil {
		return err
	}
	if o.NonEmpty {
		return nil
	}
	d, err := os.Open(mnt)
	if err != nil {
		return fail(exitMountPoint, "", "mount point %s: %w", mnt, cause(err))
	}
	defer d.Close()
	if names, _ := d.Readdirnames(1); len(names) > 0 {
		return fail(exitMountPoint, "choose an empty directory, or hide what is there with -o nonempty", "mount point %s is not empty", mnt)
	}
	return nil
}

// checkUserMount answers why a plain user can't mount there, through
// fusermount3: that opens the device with the user's own rights.
func checkUserMount(mnt string, o *mountopt.Options) error {
	if os.Geteuid() == 0 {
		return nil
	}
	if unix.Access(mnt, unix.W_OK) != nil {
		return fail(exitMountPoint, "mount on a directory of your own, or as root", "mount point %s may not be written by this user", mnt)
	}
	if f := checkDevice(); f.State == "fail" {
		return fail(exitMountPoint, f.Next, "%s", f.Text)
	}
	if f := checkAllowOther(); f.State != "ok" && o.AllowOther == mountopt.Yes {
		return fail(exitMountPoint, "write user_allow_other into /etc/fuse.conf, or mount as root", "mount option allow_other is not allowed to users on this machine")
	}
	return nil
}

// isDead reports whether the daemon of a mount was killed: "transport endpoint
// is not connected". It asks statfs(2), which the kernel never answers by
// itself; a daemon that is there but does not answer for a second is alive.
func isDead(mnt string) bool {
	answer := make(chan error, 1)
	go func() {
		var st unix.Statfs_t
		answer <- unix.Statfs(mnt, &st)
	}()
	select {
	case err := <-answer:
		return errors.Is(err, unix.ENOTCONN) || errors.Is(err, unix.ECONNABORTED)
	case <-time.After(time.Second):
		return false
	}
}

// clearDead takes away a mount of ours that answers "transport endpoint is not
// connected": its daemon was killed.
func clearDead(mnt string, log *slog.Logger) error {
	m, ok := mountAt(mnt)
	if !ok || m.Type != fsType {
		return fail(exitMountPoint, "umount -l "+mnt, "mount point %s: a dead mount of another kind (%s) is in the way", mnt, m.Type)
	}
	if err := unmountPlain(mnt, true); err != nil {
		return fail(exitMountPoint, "umount -l "+mnt+" as the user who mounted it, or as root", "mount point %s: a dead mount is in the way: %w", mnt, err)
	}
	log.Warn("a dead mount was in the way and is gone", "mountpoint", mnt, "source", m.Source)
	return nil
}

// unmountPlain unmounts without asking the daemon, lazily or not.
func unmountPlain(mnt string, lazy bool) error {
	if os.Geteuid() == 0 {
		flags := unix.UMOUNT_NOFOLLOW
		if lazy {
			flags |= unix.MNT_DETACH
		}
		return unix.Unmount(mnt, flags)
	}
	args := []string{"-u"}
	if lazy {
		args = append(args, "-z")
	}
	out, err := exec.Command("fusermount3", append(args, "--", mnt)...).CombinedOutput()
	if text := strings.TrimSpace(string(out)); err != nil && text != "" {
		return errors.New(text)
	}
	return err
}

// usersTime is how long to look for who uses a mount: what /proc says of a
// process that is stuck in a mount may not come before that goes on.
const usersTime = 3 * time.Second

// users names processes that hold something of the mount, as far as this user
// may see and as far as can be told at once: "bash (4711), vim (4712)".
func users(mnt string) string {
	found := make(chan string, 1)
	go func() { found <- lookForUsers(mnt) }()
	select {
	case who := <-found:
		return who
	case <-time.After(usersTime):
		return "by whom can't be told, for a process of this machine does not answer"
	}
}

func lookForUsers(mnt string) string {
	procs, _ := filepath.Glob("/proc/[0-9]*")
	var who []string
	for _, p := range procs {
		if pid := filepath.Base(p); pid != strconv.Itoa(os.Getpid()) && holds(p, mnt) {
			name, _ := os.ReadFile(p + "/comm")
			who = append(who, strings.TrimSpace(string(name))+" ("+pid+")")
		}
		if len(who) == 5 {
			who = append(who, "…")
			break
		}
	}
	return strings.Join(who, ", ")
}

// holds reads links only: to follow one could ask the mount itself.
func holds(proc, mnt string) bool {
	links, _ := filepath.Glob(proc + "/fd/*")
	for _, l := range append(links, proc+"/cwd", proc+"/root", proc+"/exe") {
		if to, err := os.Readlink(l); err == nil && (to == mnt || strings.HasPrefix(to, mnt+"/")) {
			return true
		}
	}
	return false
}
