package harness

import (
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// A Snapshot is all that one can see of a tree: each path with its type, mode,
// owner, size, times to the nanosecond, link count, device, xattrs, and the
// hash of its content. Two equal snapshots are two equal trees.
type Snapshot map[string]string

// What of a tree a snapshot leaves out.
const (
	NoTimes  = 1 << iota // mtimes
	NoOwners             // uid and gid
)

// Take reads all of the tree at root.
func Take(root string, without int) (Snapshot, error) {
	s := Snapshot{}
	inodes := map[uint64]string{} // the first path of each, to see who is linked with whom
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		line, err := describe(path, rel, inodes, without)
		s[rel] = line
		return err
	})
	return s, err
}

func describe(path, rel string, inodes map[uint64]string, without int) (string, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return "", fmt.Errorf("lstat %s: %w", path, err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "mode %o nlink %d", st.Mode, st.Nlink)
	if without&NoOwners == 0 {
		fmt.Fprintf(&b, " owner %d:%d", st.Uid, st.Gid)
	}
	if without&NoTimes == 0 {
		fmt.Fprintf(&b, " mtime %d.%09d", st.Mtim.Sec, st.Mtim.Nsec)
	}
	kind := st.Mode & unix.S_IFMT
	if kind != unix.S_IFDIR {
		if inodes[st.Ino] == "" {
			inodes[st.Ino] = rel
		}
		fmt.Fprintf(&b, " size %d is %q", st.Size, inodes[st.Ino])
	}
	switch kind {
	case unix.S_IFREG:
		sum, err := hash(path)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, " sha256 %x", sum)
	case unix.S_IFLNK:
		target, err := os.Readlink(path)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, " to %q", target)
	case unix.S_IFCHR, unix.S_IFBLK:
		fmt.Fprintf(&b, " dev %d", st.Rdev)
	}
	xattrs, err := xattrs(path)
	return b.String() + xattrs, err
}

func hash(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return h.Sum(nil), err
}

func xattrs(path string) (string, error) {
	buf := make([]byte, 64<<10)
	n, err := unix.Llistxattr(path, buf)
	if err != nil {
		return "", fmt.Errorf("listxattr %s: %w", path, err)
	}
	names := strings.FieldsFunc(string(buf[:n]), func(r rune) bool { return r == 0 })
	slices.Sort(names)
	var b strings.Builder
	for _, name := range names {
		n, err := unix.Lgetxattr(path, name, buf)
		if err != nil {
			return "", fmt.Errorf("getxattr %s of %s: %w", name, path, err)
		}
		fmt.Fprintf(&b, " %q=%q", name, buf[:n])
	}
	return b.String(), nil
}

// Diff says in at most a few lines what differs from want, "" if nothing does.
func (s Snapshot) Diff(want Snapshot) string {
	var lines []string
	for path, w := range want {
		switch got, ok := s[path]; {
		case !ok:
			lines = append(lines, fmt.Sprintf("%q is gone", path))
		case got != w:
			lines = append(lines, fmt.Sprintf("%q:\n\tgot  %s\n\twant %s", path, got, w))
		}
	}
	for path := range s {
		if _, ok := want[path]; !ok {
			lines = append(lines, fmt.Sprintf("%q is new", path))
		}
	}
	slices.Sort(lines)
	if n := len(lines); n > 10 {
		lines = append(lines[:10], fmt.Sprintf("and %d more", n-10))
	}
	return strings.Join(lines, "\n")
}
