package acl

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/wardfs/wardfs/acl"
	"github.com/wardfs/wardfs/posix"
)

// An action is one thing to do to both trees.
type action struct {
	what  string
	do    func(root string) string // what came of it, in words; begins with the errno
	paths []string                 // to compare afterwards
	moves bool                     // it may change which paths there are
}

// action picks one. All that is random is picked here, so that both trees get
// the same.
func (w *walk) action() action {
	switch n := w.rng.IntN(100); {
	case n < 22:
		return w.make()
	case n < 30:
		return w.remove()
	case n < 36:
		return w.rename()
	case n < 46:
		return w.chmod()
	case n < 52:
		return w.chown()
	case n < 66:
		return w.setfacl()
	case n < 72:
		return w.write()
	case n < 76:
		return w.times()
	case n < 80:
		return w.xattr()
	default:
		return w.ask()
	}
}

// there is a path that there probably is. The top is not among them: it stays
// open to everyone.
func (w *walk) there() string {
	if len(w.paths) == 0 {
		return "a"
	}
	return w.paths[w.rng.IntN(len(w.paths))]
}

// place is a path where something may be made or be already: not deep, and
// with few names, so that users meet.
func (w *walk) place() string {
	name := string(rune('a' + w.rng.IntN(5)))
	if dir := w.there(); strings.Count(dir, "/") < 2 && w.rng.IntN(5) > 0 {
		return filepath.Join(dir, name)
	}
	return name
}

// simple is an action that ends with an errno, on one path.
func simple(path, what string, f func(path string) error) action {
	return action{
		what: what + " " + path,
		do:   func(root string) string { return errno(f(filepath.Join(root, path))) },
		// The parent, because its link count changes and it may have lost a bit.
		paths: []string{path, filepath.Dir(path)},
	}
}

func errno(err error) string {
	var e unix.Errno
	switch {
	case err == nil:
		return "0"
	case errors.As(err, &e):
		return unix.ErrnoName(e)
	}
	return err.Error()
}

// mode is any, mostly one that people use.
func (w *walk) mode() uint32 {
	common := []uint32{0o777, 0o755, 0o770, 0o775, 0o700, 0o750, 0o666, 0o644, 0o640, 0o600, 0o2775, 0o2770, 0o1777, 0o3777, 0o4755, 0o6755, 0o2644}
	if w.rng.IntN(6) == 0 {
		return uint32(w.rng.IntN(0o10000))
	}
	return common[w.rng.IntN(len(common))]
}

func (w *walk) make() action {
	p, m := w.place(), w.mode()
	a := action{}
	kind := w.rng.IntN(10)
	if w.loose && kind == 0 {
		kind = 4
	}
	switch kind {
	case 0:
		a = simple(p, fmt.Sprintf("mkfifo %o", m), func(p string) error { return unix.Mkfifo(p, m) })
	case 1:
		target := string(rune('a' + w.rng.IntN(5)))
		a = simple(p, "symlink to "+target+" at", func(p string) error { return unix.Symlink(target, p) })
	case 2:
		from := w.there()
		a = action{what: fmt.Sprint("link ", from, " ", p), paths: []string{from, p}, do: func(root string) string {
			return errno(unix.Link(filepath.Join(root, from), filepath.Join(root, p)))
		}}
	case 3:
		return w.tmpfile(m)
	case 4, 5, 6:
		a = simple(p, fmt.Sprintf("mkdir %o", m), func(p string) error { return unix.Mkdir(p, m) })
	default:
		flags := []int{unix.O_EXCL, 0, unix.O_TRUNC}[w.rng.IntN(3)]
		a = simple(p, fmt.Sprintf("create %o, flags %#x,", m, flags), func(p string) error { return open(p, unix.O_CREAT|unix.O_RDWR|flags, m) })
	}
	a.moves = true
	return a
}

// open opens and closes again. Nothing is waited for: a fifo has no other end.
func open(p string, flags int, mode uint32) error {
	fd, err := unix.Open(p, flags|unix.O_CLOEXEC|unix.O_NONBLOCK, mode)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

// tmpfile makes a file without a name, and looks at what it inherited.
func (w *walk) tmpfile(m uint32) action {
	p := w.there()
	return action{what: fmt.Sprintf("tmpfile %o in %s", m, p), do: func(root string) string {
		fd, err := unix.Open(filepath.Join(root, p), unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, m)
		if err != nil {
			return errno(err)
		}
		defer unix.Close(fd)
		return "0 " + stateOf(fd)
	}}
}

func (w *walk) remove() action {
	p := w.there()
	a := simple(p, "unlink", unix.Unlink)
	if w.rng.IntN(3) == 0 {
		a = simple(p, "rmdir", unix.Rmdir)
	}
	a.moves = true
	return a
}

func (w *walk) rename() action {
	from, to := w.there(), w.place()
	if w.rng.IntN(4) == 0 {
		to = w.there()
	}
	flags := []uint{0, 0, unix.RENAME_NOREPLACE, unix.RENAME_EXCHANGE}[w.rng.IntN(4)]
	return action{what: fmt.Sprint("rename ", from, " ", to, " flags ", flags), moves: true,
		paths: []string{from, to, filepath.Dir(from), filepath.Dir(to)}, do: func(root string) string {
			return errno(unix.Renameat2(unix.AT_FDCWD, filepath.Join(root, from), unix.AT_FDCWD, filepath.Join(root, to), flags))
		}}
}

func (w *walk) chmod() action {
	m := w.mode()
	return simple(w.there(), fmt.Sprintf("chmod %o", m), func(p string) error { return unix.Chmod(p, m) })
}

func (w *walk) chown() action {
	uid, gid := w.id(5100), w.id(5200)
	if uid < 0 && gid < 0 {
		// The kernel tells a mount of this as of a write that is to come: who may
		// write gets the set-id bits cleared, where a disk says EPERM.
		uid = 5100
	}
	return simple(w.there(), fmt.Sprintf("chown %d:%d", uid, gid), func(p string) error { return unix.Lchown(p, uid, gid) })
}

// id is an owner or none, -1.
func (w *walk) id(base int) int {
	if n := w.rng.IntN(7); n > 0 {
		return base + n - 1
	}
	return -1
}

func (w *walk) setfacl() action {
	name := acl.XattrAccess
	if w.rng.IntN(3) == 0 {
		name = acl.XattrDefault
	}
	p := w.there()
	if w.rng.IntN(8) == 0 {
		return simple(p, "remove "+name+" of", func(p string) error { return unix.Removexattr(p, name) })
	}
	l := randomACL(w.rng)
	value := acl.EncodeXattr(l)
	switch w.rng.IntN(20) {
	case 0:
		value = value[:w.rng.IntN(len(value))]
	case 1:
		// Not an id: a user who comes twice is EINVAL here, and the kernel takes it.
		if i := w.rng.IntN(len(value)); i < 4 || i%8 >= 4 {
			value[i] ^= byte(1 << w.rng.IntN(8))
		}
	case 2:
		value = nil
	}
	if got, err := acl.DecodeXattr(value); err != nil || !got.Equal(l) {
		return simple(p, fmt.Sprintf("set %s to bytes %x of", name, value), func(p string) error { return unix.Setxattr(p, name, value, 0) })
	}
	return simple(p, fmt.Sprintf("set %s to %v of", name, l), func(p string) error { return unix.Setxattr(p, name, value, 0) })
}

// randomACL is a valid list about the users of the walk.
func randomACL(rng *rand.Rand) acl.ACL {
	perm := func() posix.Perm {
		if rng.IntN(2) == 0 {
			return 7
		}
		return posix.Perm(rng.IntN(8))
	}
	l := acl.ACL{{Tag: acl.UserObj, Perm: perm()}, {Tag: acl.GroupObj, Perm: perm()}, {Tag: acl.Other, Perm: perm()}}
	named := false
	for i := range uint32(5) {
		if rng.IntN(3) == 0 {
			l, named = append(l, acl.Entry{Tag: acl.User, Perm: perm(), ID: 5100 + i}), true
		}
		if rng.IntN(4) == 0 {
			l, named = append(l, acl.Entry{Tag: acl.Group, Perm: perm(), ID: 5200 + i}), true
		}
	}
	if named || rng.IntN(4) == 0 {
		l = append(l, acl.Entry{Tag: acl.Mask, Perm: perm()})
	}
	return l.Sort()
}

func (w *walk) write() action {
	p := w.there()
	switch w.rng.IntN(3) {
	case 0:
		return simple(p, "truncate", func(p string) error { return unix.Truncate(p, 3) })
	case 1:
		return simple(p, "open to cut", func(p string) error { return open(p, unix.O_WRONLY|unix.O_TRUNC, 0) })
	}
	return simple(p, "write to", func(p string) error {
		fd, err := unix.Open(p, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		_, err = unix.Write(fd, []byte("x"))
		return err
	})
}

func (w *walk) times() action {
	ts := [][]unix.Timespec{nil, {{Sec: 5}, {Sec: 6}}, {{Nsec: unix.UTIME_OMIT}, {Sec: 7}}, {{Nsec: unix.UTIME_NOW}, {Nsec: unix.UTIME_OMIT}}}[w.rng.IntN(4)]
	return simple(w.there(), fmt.Sprint("utimes ", ts), func(p string) error {
		return unix.UtimesNanoAt(unix.AT_FDCWD, p, ts, unix.AT_SYMLINK_NOFOLLOW)
	})
}

func (w *walk) xattr() action {
	name := []string{"user.a", "trusted.a", "security.a"}[w.rng.IntN(3)]
	p := w.there()
	switch w.rng.IntN(3) {
	case 0:
		return simple(p, "remove "+name+" of", func(p string) error { return unix.Removexattr(p, name) })
	case 1:
		return simple(p, "get "+name+" of", func(p string) error {
			_, err := unix.Getxattr(p, name, make([]byte, 10))
			return err
		})
	}
	return simple(p, "set "+name+" of", func(p string) error { return unix.Setxattr(p, name, []byte("v"), 0) })
}

// ask tries what a user may do.
func (w *walk) ask() action {
	p := w.there()
	return action{what: "ask what may be done to " + p, do: func(root string) string {
		path := filepath.Join(root, p)
		var b strings.Builder
		for _, mode := range []uint32{unix.R_OK, unix.W_OK, unix.X_OK, unix.R_OK | unix.W_OK | unix.X_OK} {
			fmt.Fprint(&b, errno(unix.Faccessat(unix.AT_FDCWD, path, mode, unix.AT_EACCESS)), " ")
		}
		for _, flags := range []int{unix.O_RDONLY, unix.O_WRONLY, unix.O_RDWR, unix.O_RDONLY | unix.O_DIRECTORY} {
			fmt.Fprint(&b, errno(open(path, flags, 0)), " ")
		}
		fmt.Fprint(&b, errno(unix.Stat(filepath.Join(path, "a"), new(unix.Stat_t))), " ")
		return b.String() + errno(unix.Stat(filepath.Join(path, "x/y"), new(unix.Stat_t)))
	}}
}
