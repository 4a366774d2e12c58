package fuse

import (
	"bufio"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/wardfs/wardfs/posix"
)

// MountInfo is a line of proc_pid_mountinfo(5).
type MountInfo struct {
	Device string // "major:minor"
	On     string // the mount point, as the kernel has it
	Type   string // "ext4", "fuse.wardfs"
	Source string
}

// Mounts is all that is mounted in this process's sight, lowest first.
func Mounts() ([]MountInfo, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return parseMounts(f)
}

// parseMounts leaves out lines that are none:
//
//	36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw
func parseMounts(r io.Reader) (all []MountInfo, err error) {
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		head, tail, ok := strings.Cut(sc.Text(), " - ")
		fields, rest := strings.Fields(head), strings.Fields(tail)
		if ok && len(fields) >= 5 && len(rest) >= 2 {
			all = append(all, MountInfo{fields[2], posix.Unescape(fields[4]), rest[0], posix.Unescape(rest[1])})
		}
	}
	return all, sc.Err()
}

// mountedOn is the type of the filesystem that is mounted on dir itself, ""
// if none is.
func mountedOn(dir string) (fstype string, err error) {
	if p, err := filepath.EvalSymlinks(dir); err == nil {
		dir = p
	}
	all, err := Mounts()
	for _, m := range all {
		if m.On == dir {
			fstype = m.Type // the last one lies on top
		}
	}
	return fstype, err
}
