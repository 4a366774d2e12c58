package harness

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/wardfs/wardfs/acl"
)

// Plant makes below dir a tree that has one of everything: files of all sizes,
// sparse and empty ones, long and strange names, hard and symbolic links,
// fifos, odd modes, times long past, user xattrs, ACLs. As root it has devices and
// owners too. The tree is the same each time.
func Plant(dir string) error {
	p := planter{root: dir}
	for i, size := range []int{0, 1, 511, 4096, 4097, 65536, 131073, 1 << 20, 4<<20 + 17} {
		p.file(fmt.Sprintf("sizes/%d", size), bytes.Repeat([]byte{byte('a' + i), 'b', byte(i)}, size/3+1)[:size])
	}
	for i := range 120 {
		p.file(fmt.Sprintf("many/%d/%d", i%7, i), []byte(fmt.Sprint("file ", i)))
	}
	for _, n := range []string{"ü", "with space", "-dash", "new\nline", "\xff\xfe", strings.Repeat("n", 255)} {
		p.file("names/"+n, []byte(n))
	}
	p.do("sparse", func(f string) error {
		return errors.Join(os.WriteFile(f, []byte("head"), 0o600), os.Truncate(f, 9<<20))
	})
	p.file("links/a", []byte("linked"))
	p.do("links/b", func(f string) error { return os.Link(filepath.Join(dir, "links/a"), f) })
	p.do("elsewhere/c", func(f string) error { return os.Link(filepath.Join(dir, "links/a"), f) })
	p.do("links/sym", func(f string) error { return os.Symlink("a", f) })
	p.do("links/dangling", func(f string) error { return os.Symlink("../no/where", f) })
	p.do("links/long", func(f string) error { return os.Symlink(strings.Repeat("x/", 1000), f) })
	p.do("fifo", func(f string) error { return unix.Mkfifo(f, 0o640) })
	p.do("empty/dir/ectory", func(f string) error { return os.Mkdir(f, 0o750) })
	for _, mode := range []uint32{0o400, 0o600, 0o755, 0o4711, 0o2755, 0o666} {
		p.file(fmt.Sprintf("modes/%o", mode), []byte("m"))
		p.do(fmt.Sprintf("modes/%o", mode), func(f string) error { return unix.Chmod(f, mode) })
	}
	for i := range 5 {
		p.do(fmt.Sprintf("many/%d/%d", i, i), func(f string) error {
			return errors.Join(unix.Setxattr(f, "user.one", []byte("1"), 0), unix.Setxattr(f, "user.zero", []byte("\x00"), 0))
		})
	}
	p.acls()
	if os.Geteuid() == 0 {
		p.rootOnly()
	}
	p.times()
	return p.err
}

// planter makes things and keeps the first error.
type planter struct {
	root  string
	paths []string
	err   error
}

func (p *planter) do(rel string, f func(path string) error) {
	if p.err != nil {
		return
	}
	path := filepath.Join(p.root, rel)
	if p.err = os.MkdirAll(filepath.Dir(path), 0o755); p.err == nil {
		p.err = f(path)
	}
	p.paths = append(p.paths, rel)
}

func (p *planter) file(rel string, content []byte) {
	p.do(rel, func(f string) error { return os.WriteFile(f, content, 0o644) })
}

// acls come in all shapes: named users and groups, a mask that takes away and
// one alone, what a directory hands down.
func (p *planter) acls() {
	set := func(rel, name, text string) {
		p.do(rel, func(f string) error {
			l, _, err := acl.ParseText(text, acl.Names{})
			if err == nil {
				err = unix.Setxattr(f, name, acl.EncodeXattr(l), 0)
			}
			return err
		})
	}
	for _, f := range []string{"user", "masked", "mask", "none"} {
		p.file("acl/"+f, []byte(f))
	}
	set("acl/user", acl.XattrAccess, "u::rw-,u:4242:rw-,u:4343:---,g::r--,g:5005:rw-,m::rw-,o::r--")
	set("acl/masked", acl.XattrAccess, "u::rwx,u:4343:rwx,g::rwx,m::---,o::---")
	set("acl/mask", acl.XattrAccess, "u::rw-,g::rw-,m::r--,o::r--")
	p.do("acl/dir", func(f string) error { return os.Mkdir(f, 0o750) })
	set("acl/dir", acl.XattrDefault, "u::rwx,u:4242:rwx,g::r-x,g:5005:r-x,m::rwx,o::---")
	p.file("acl/dir/sub/inherits", []byte("i"))
	set("acl/dir/sub", acl.XattrDefault, "u::rwx,g::r-x,o::---")
	p.file("acl/dir/sub/plain", []byte("p"))
	set("acl", acl.XattrAccess, "u::rwx,g::r-x,g:5006:rwx,m::rwx,o::r-x")
}

func (p *planter) rootOnly() {
	p.do("dev/null", func(f string) error { return unix.Mknod(f, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))) })
	p.do("dev/blk", func(f string) error { return unix.Mknod(f, unix.S_IFBLK|0o600, int(unix.Mkdev(7, 3))) })
	p.do("many/1/1", func(f string) error { return unix.Setxattr(f, "trusted.t", []byte("root's"), 0) })
	for i := range 20 {
		p.do(fmt.Sprintf("many/%d/%d", i%7, i), func(f string) error { return os.Lchown(f, 4000+i, 5000+i) })
	}
	p.do("links/sym", func(f string) error { return os.Lchown(f, 4242, 4242) })
}

// times goes last, and over directories from the bottom up, since making a
// thing moves its directory's times.
func (p *planter) times() {
	for i := len(p.paths) - 1; i >= 0; i-- {
		for rel := p.paths[i]; rel != "."; rel = filepath.Dir(rel) {
			ts := unix.Timespec{Sec: 1e9 + int64(len(rel))*1e6, Nsec: int64(i)*1e6 + 7}
			err := unix.UtimesNanoAt(unix.AT_FDCWD, filepath.Join(p.root, rel), []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW)
			p.err = errors.Join(p.err, err)
		}
	}
}
