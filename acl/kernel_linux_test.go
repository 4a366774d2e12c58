package acl

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/wardfs/wardfs/posix"
)

// The kernel of this machine and the filesystem of the temporary directory are
// the oracle: whatever they do to modes and ACLs, this package must say.

// scratch is a directory on a filesystem with ACLs.
func scratch(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	err := unix.Setxattr(dir, XattrAccess, EncodeXattr(FromMode(0o700)), 0)
	if errors.Is(err, unix.EOPNOTSUPP) {
		t.Skip(dir, " is on a filesystem without ACLs: set TMPDIR to one that has them")
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// needRoot skips where the test can't become others.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can act as other users: run the test as root")
	}
}

// setACL sets an ACL by its extended attribute; nil takes it away.
func setACL(t *testing.T, path, attr string, l ACL) {
	t.Helper()
	if err := unix.Setxattr(path, attr, EncodeXattr(l), 0); err != nil {
		t.Fatalf("set %s %v: %v", attr, l, err)
	}
}

// readACL reads an ACL, nil if there is none, and checks that its bytes are the
// ones that we would have written.
func readACL(t *testing.T, path, attr string) ACL {
	t.Helper()
	b := make([]byte, posix.XattrMax)
	n, err := unix.Lgetxattr(path, attr, b)
	if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.EOPNOTSUPP) { // symbolic links have none
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	l, err := DecodeXattr(b[:n])
	if err != nil {
		t.Fatalf("the kernel's %x: %v", b[:n], err)
	}
	if l.Key() != string(b[:n]) {
		t.Fatalf("the kernel's %x encodes as %x", b[:n], l.Key())
	}
	return l
}

func stat(t *testing.T, path string) (a posix.Attr) {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		t.Fatal(err)
	}
	return posix.Attr{Mode: posix.Mode(st.Mode), UID: posix.UID(st.Uid), GID: posix.GID(st.Gid)}
}

func statMode(t *testing.T, path string) posix.Mode { return stat(t, path).Mode }

// onThread runs f on a thread of its own that ends with it, so that what f does to
// the thread's umask and identity touches no other test.
func onThread(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends here
		f()
	}()
	<-done
}

// as runs f on this thread with the identity of c. The real user stays root, so
// that there is a way back.
func as(c posix.Cred, f func()) error {
	groups := make([]uint32, len(c.Groups)+1) // one spare, for its address
	for i, g := range c.Groups {
		groups[i] = uint32(g)
	}
	const keep = ^uintptr(0)
	// RawSyscall, because the functions of package unix change every thread.
	for _, call := range [][4]uintptr{
		{unix.SYS_SETGROUPS, uintptr(len(c.Groups)), uintptr(unsafe.Pointer(&groups[0])), 0},
		{unix.SYS_SETRESGID, keep, uintptr(c.GID), keep},
		{unix.SYS_SETRESUID, keep, uintptr(c.UID), keep},
	} {
		if _, _, errno := unix.RawSyscall(call[0], call[1], call[2], call[3]); errno != 0 {
			return fmt.Errorf("become %v: %w", c, errno)
		}
	}
	f()
	for _, nr := range []uintptr{unix.SYS_SETRESUID, unix.SYS_SETRESGID} {
		if _, _, errno := unix.RawSyscall(nr, keep, 0, keep); errno != 0 {
			return fmt.Errorf("become root again: %w", errno)
		}
	}
	return nil
}

// world is one inode on the disk, and what we think of it.
type world struct {
	*testing.T
	rng  *rand.Rand
	dir  string
	n    int    // entries made
	path string // of the inode
	attr posix.Attr
	acl  ACL // access
	def  ACL // default

	checked, granted int
}

// TestKernelWalk takes a random walk of creations, chmod, chown and ACLs set
// and taken away, and compares after each step what the inode has become,
// and what random users may do with it.
func TestKernelWalk(t *testing.T) {
	needRoot(t)
	steps := 3000
	if testing.Short() {
		steps = 300
	}
	w := &world{T: t, rng: rand.New(rand.NewPCG(17, 18)), dir: scratch(t)}
	onThread(func() {
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			t.Error("a umask of the thread's own: ", err)
			return
		}
		w.create()
		for i := 0; i < steps && !t.Failed(); i++ {
			what := w.step()
			w.compare(what)
			w.access(what)
		}
	})
	t.Logf("%d steps, %d questions, %d granted", steps, w.checked, w.granted)
	if !t.Failed() && (w.granted < w.checked/10 || w.granted > w.checked*9/10) {
		t.Error("the walk asks nothing worth asking")
	}
}

// must ends the walk on an error that is no difference but a broken test. It
// runs on the walk's own thread, where FailNow would skip nothing but it.
func (w *world) must(err error) {
	if err != nil {
		w.Helper()
		w.Error(err)
	}
}

// step does one thing to the inode and to our idea of it.
func (w *world) step() string {
	isDir := w.attr.Mode.IsDir()
	isLink := w.attr.Mode.IsLink()
	switch n := w.rng.IntN(10); {
	case n < 3 || isLink:
		return w.create()
	case n < 5:
		m := posix.Mode(w.rng.IntN(0o10000))
		w.must(unix.Chmod(w.path, uint32(m)))
		w.attr.Mode, w.acl = w.attr.Mode.Type()|m, w.acl.Chmod(m)
		return fmt.Sprintf("chmod %o", m)
	case n < 6:
		w.attr.UID, w.attr.GID = posix.UID(100+w.rng.IntN(8)), posix.GID(200+w.rng.IntN(8))
		w.must(unix.Chown(w.path, int(w.attr.UID), int(w.attr.GID)))
		// Which special bits chown clears is not ours to say.
		w.attr.Mode = w.attr.Mode&^0o7000 | statMode(w.T, w.path)&0o7000
		return "chown"
	case n < 7 && isDir:
		w.def = randomACL(w.rng, false)
		if w.rng.IntN(4) == 0 {
			w.def = nil
		}
		setACL(w.T, w.path, XattrDefault, w.def)
		return fmt.Sprint("default ", w.def)
	default:
		l := randomACL(w.rng, false)
		if w.rng.IntN(6) == 0 {
			l = nil
		}
		setACL(w.T, w.path, XattrAccess, l)
		w.attr.Mode, w.acl = Apply(w.attr.Mode, l)
		return fmt.Sprint("access ", l)
	}
}

// create makes a new inode, in the current one if that is a directory, and
// goes there.
func (w *world) create() string {
	parent, def := w.path, w.def
	if !w.attr.Mode.IsDir() || w.rng.IntN(4) == 0 {
		parent, def = w.dir, nil
	}
	if parent != w.dir { // set-group-ID of a parent is the tree's business
		w.must(unix.Chmod(parent, uint32(w.attr.Mode&0o5777)))
	}
	w.n++
	w.path = filepath.Join(parent, fmt.Sprint(w.n))
	umask, m := posix.Mode(w.rng.IntN(0o1000)), posix.Mode(w.rng.IntN(0o10000))
	if w.rng.IntN(2) == 0 {
		m |= 0o666
	}
	unix.Umask(int(umask))
	var err error
	switch w.rng.IntN(8) {
	case 0:
		m = posix.TypeLink | 0o777
		err = unix.Symlink("nowhere", w.path)
	case 1:
		m |= posix.TypeFIFO
		err = unix.Mknod(w.path, uint32(m), 0)
	case 2, 3:
		m |= posix.TypeReg
		var fd int
		if fd, err = unix.Open(w.path, unix.O_CREAT|unix.O_EXCL|unix.O_RDONLY, uint32(m&posix.PermMask)); err == nil {
			err = unix.Close(fd)
		}
	default:
		m = m&0o1777 | posix.TypeDir
		err = unix.Mkdir(w.path, uint32(m&posix.PermMask))
	}
	w.must(err)
	w.attr = posix.Attr{}
	w.attr.Mode, w.acl, w.def = Inherit(def, m, umask)
	return fmt.Sprintf("create %o under umask %o and %v", m, umask, def)
}

// compare looks at the inode.
func (w *world) compare(what string) {
	got := stat(w.T, w.path)
	a, d := readACL(w.T, w.path, XattrAccess), readACL(w.T, w.path, XattrDefault)
	if got != w.attr || !a.Equal(w.acl) || !d.Equal(w.def) {
		w.Errorf("%s:\nthe kernel has %o %v %v\nwe have        %o %v %v", what, got.Mode, a, d, w.attr.Mode, w.acl, w.def)
	}
}

// access asks for random users, and now and then for root.
func (w *world) access(what string) {
	fd, err := unix.Open(w.path, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		w.Error(err)
		return
	}
	defer unix.Close(fd)
	for i := range 5 {
		c := randomCred(w.rng)
		if i == 0 && w.rng.IntN(4) == 0 {
			c.UID, c.Super = 0, true
		}
		w.must(as(c, func() {
			for want := range rwx + 1 {
				err := unix.Faccessat2(fd, "", uint32(want), unix.AT_EACCESS|unix.AT_EMPTY_PATH)
				got := Check(w.attr, w.acl, c, want)
				if err != nil && !errors.Is(err, unix.EACCES) || got != (err == nil) {
					w.Errorf("%s, then %v asks %s of %o %v, owner %d:%d: the kernel says %v, we %v",
						what, c, letters(want), w.attr.Mode, w.acl, w.attr.UID, w.attr.GID, err, got)
				}
				w.checked++
				if got {
					w.granted++
				}
			}
		}))
	}
}

// TestKernelDecode hands broken attributes to the kernel and to DecodeXattr. We
// refuse one thing more: a user or a group that comes twice.
func TestKernelDecode(t *testing.T) {
	dir := scratch(t)
	rng := rand.New(rand.NewPCG(19, 20))
	var bad int
	for range 4000 {
		b := damage(rng, EncodeXattr(randomACL(rng, false)))
		kernel := unix.Setxattr(dir, XattrDefault, b, 0)
		l, err := DecodeXattr(b)
		want := map[posix.Errno]error{0: nil, posix.EINVAL: unix.EINVAL, posix.EOPNOTSUPP: unix.EOPNOTSUPP}[posix.ErrnoOf(err)]
		if kernel == nil && err != nil && twice(b) {
			continue
		}
		if !errors.Is(kernel, want) {
			t.Fatalf("%x: the kernel says %v, we %v", b, kernel, err)
		}
		if err != nil {
			bad++
		} else if got := readSorted(t, dir); !got.Equal(l) {
			t.Fatalf("%x: the kernel has %v, we %v", b, got, l)
		}
	}
	if bad < 1000 || bad > 3500 {
		t.Errorf("%d of 4000 were bad", bad)
	}
}

// readSorted reads a default ACL that the kernel may keep in another order.
func readSorted(t *testing.T, path string) ACL {
	t.Helper()
	b := make([]byte, posix.XattrMax)
	n, err := unix.Getxattr(path, XattrDefault, b)
	if errors.Is(err, unix.ENODATA) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	l, err := DecodeXattr(b[:n])
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// damage changes b a little, or not at all.
func damage(rng *rand.Rand, b []byte) []byte {
	entry := func() int { return headerSize + entrySize*rng.IntN((len(b)-headerSize)/entrySize) }
	switch i := entry(); rng.IntN(8) {
	case 0: // another tag
		b[i] = byte(1 << rng.IntN(8))
	case 1: // another permission
		b[i+2+rng.IntN(2)] = byte(rng.IntN(16))
	case 2: // another id
		b[i+4+rng.IntN(4)] ^= byte(rng.IntN(256))
	case 3: // an entry less
		b = append(b[:i], b[i+entrySize:]...)
	case 4: // two change places
		j := entry()
		for k := range entrySize {
			b[i+k], b[j+k] = b[j+k], b[i+k]
		}
	case 5: // cut off
		b = b[:rng.IntN(len(b)+1)]
	case 6: // another version
		b[rng.IntN(headerSize)] ^= byte(rng.IntN(2))
	}
	return b
}

// twice reports whether a user or a group comes twice.
func twice(b []byte) bool {
	l, _ := decodeEntries(b[headerSize:])
	l = l.Sort()
	for i := 1; i < len(l); i++ {
		if l[i] == l[i-1] || l[i].Tag.named() && l[i].Tag == l[i-1].Tag && l[i].ID == l[i-1].ID {
			return true
		}
	}
	return false
}
