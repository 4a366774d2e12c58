package fuse

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// device is how a filesystem in user space talks to the kernel.
const device = "/dev/fuse"

// checkMount answers why dir cannot be mounted on, in words that say what to
// do; the system calls themselves say little more than EINVAL.
func checkMount(dir string, o Options, root bool) error {
	switch fstype, err := mountedOn(dir); {
	case err != nil:
		return err
	case fstype == "fuse."+fsName:
		return errors.New("there is a wardfs mount already: unmount it first")
	}
	st, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("there is no such directory: make it first")
	case errors.Is(err, unix.ENOTCONN):
		return errors.New("a dead mount is in the way: unmount it first")
	case err != nil:
		return errors.Unwrap(err) // without the path, which stands before
	case !st.IsDir():
		return errors.New("not a directory")
	}
	if !o.NonEmpty {
		if err := checkEmpty(dir); err != nil {
			return err
		}
	}
	return checkMeans(dir, root)
}

func checkEmpty(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return errors.Unwrap(err)
	}
	defer f.Close()
	switch _, err := f.Readdirnames(1); {
	case err == nil:
		return errors.New("the directory is not empty: the option nonempty mounts over what is there")
	case errors.Is(err, io.EOF):
		return nil
	default:
		return err
	}
}

// checkMeans looks for what mounting needs.
func checkMeans(dir string, root bool) error {
	if _, err := os.Stat(device); err != nil {
		return fmt.Errorf("there is no %s: load the kernel's module fuse, or give the container the device", device)
	}
	if root {
		return nil
	}
	if _, err := fusermountBinary(); err != nil {
		return errors.New("fusermount3 is missing: install the package fuse3, or mount as root")
	}
	if unix.Access(device, unix.R_OK|unix.W_OK) != nil { // fusermount3 opens it as the user
		return fmt.Errorf("not permitted: %s is closed to users: chmod 666 %[1]s, as udev does", device)
	}
	if unix.Access(dir, unix.W_OK) != nil {
		return errors.New("not permitted: a user mounts only on a directory of his own")
	}
	return nil
}

// explain says in words why the mount failed though the checks had passed.
func explain(err error, root bool) error {
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return fmt.Errorf("not permitted: mounting needs CAP_SYS_ADMIN and the right to open %s: %w", device, err)
	case errors.Is(err, unix.ENODEV):
		return fmt.Errorf("the kernel has no FUSE: load its module fuse: %w", err)
	case !root:
		return fmt.Errorf("fusermount3 refused: %w", errors.New(strings.TrimSpace(err.Error())))
	}
	return err
}

// fusermountBinary finds the helper that mounts for plain users.
func fusermountBinary() (string, error) {
	for _, name := range []string{"fusermount3", "/bin/fusermount3", "/usr/bin/fusermount3"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", exec.ErrNotFound
}

// mayAllowOther reads /etc/fuse.conf: a plain user may let others in only if
// the line user_allow_other is there.
func mayAllowOther(conf string) bool {
	f, err := os.Open(conf)
	if err != nil {
		return false
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		line, _, _ := strings.Cut(sc.Text(), "#")
		if strings.TrimSpace(line) == "user_allow_other" {
			return true
		}
	}
	return false
}

// setReadAhead raises what the kernel reads ahead on the mount, in bytes.
func setReadAhead(dir string, n int) error {
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return err
	}
	path := fmt.Sprintf("/sys/class/bdi/%d:%d/read_ahead_kb", unix.Major(uint64(st.Dev)), unix.Minor(uint64(st.Dev)))
	return os.WriteFile(path, []byte(strconv.Itoa(n>>10)), 0)
}
