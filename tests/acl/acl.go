// Package acl asks the machine's own disk who may do what, and the mount the
// same: a random walk of users who make, remove, chmod, chown and share what
// they find, side by side, where each step must end with the same errno and
// leave the same modes, owners and ACLs. It knows no rule of permission; the
// disk's filesystem (ext4, xfs, btrfs) is the oracle.
//
//	go test ./tests/acl -run Walk -steps 100000 -seed 7
package acl

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/wardfs/wardfs/tests/harness"
)

// The users of a walk, each other's friends and strangers by their groups.
// The first is root.
var users = []harness.Cred{
	{},
	{UID: 5101, GID: 5201, Groups: []int{5203}},
	{UID: 5102, GID: 5202, Groups: []int{5203, 5204}},
	{UID: 5103, GID: 5203},
	{UID: 5104, GID: 5204, Groups: []int{5201}},
}

// A walker acts as one user: a thread of its own, for one walk.
type walker struct {
	name string
	work chan func()
}

func newWalker(t *testing.T, c harness.Cred) *walker {
	w := &walker{name: fmt.Sprint(c.UID), work: make(chan func())}
	done := make(chan struct{})
	go func() {
		defer close(done)
		harness.As(c, func() {
			for f := range w.work {
				f()
			}
		})
	}()
	t.Cleanup(func() { close(w.work); <-done })
	return w
}

// do runs f as the user and answers when it is done.
func (w *walker) do(f func()) {
	done := make(chan struct{})
	w.work <- func() { defer close(done); f() }
	<-done
}

// walk is two trees that should be one.
type walk struct {
	*testing.T
	rng     *rand.Rand
	roots   [2]string // the disk's, the mount's
	walkers []*walker
	paths   []string // what there is, relative; a few may be gone
	log     []string // the last steps
	loose   bool     // see Walk
	granted int
	denied  int
}

// Walk takes that many steps below mount and below disk. It ends at the first
// difference. loose is for a mount on which the kernel does not judge: there it
// says EISDIR before anyone could say EACCES, so that another errno is forgiven,
// and opens fifos without asking, so that there are none.
func Walk(t *testing.T, disk, mount string, loose bool, seed uint64, steps int) {
	w := &walk{T: t, loose: loose, rng: rand.New(rand.NewPCG(seed, 0)), roots: [2]string{filepath.Join(disk, "walk"), filepath.Join(mount, "walk")}}
	if errors.Is(unix.Removexattr(disk, "system.posix_acl_access"), unix.EOPNOTSUPP) {
		harness.Skip(t, disk+" is on a filesystem without ACLs: set TMPDIR to one that has them")
	}
	for _, c := range users {
		w.walkers = append(w.walkers, newWalker(t, c))
	}
	for _, r := range w.roots {
		if err := os.Mkdir(r, 0); err != nil {
			t.Fatal(err)
		}
		if err := unix.Chmod(r, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	for i := range steps {
		w.step()
		if i%100 == 99 || i == steps-1 {
			w.compareAll()
		}
		if t.Failed() {
			t.Fatalf("seed %d, step %d; the last steps:\n%s", seed, i, strings.Join(w.log, "\n"))
		}
	}
	t.Logf("%d steps, %d granted, %d denied, %d paths", steps, w.granted, w.denied, len(w.paths))
	if steps > 1000 && (w.denied < steps/20 || w.granted < steps/5) {
		t.Error("the walk asks nothing worth asking")
	}
}

// step lets somebody do something in both trees.
func (w *walk) step() {
	who := w.walkers[0]
	if w.rng.IntN(3) > 0 {
		who = w.walkers[1+w.rng.IntN(len(w.walkers)-1)]
	}
	a := w.action()
	umask := []int{0, 0o022, 0o027, 0o077, 0o777, w.rng.IntN(0o1000)}[w.rng.IntN(6)]
	var got [2]string
	for i, root := range w.roots {
		who.do(func() {
			unix.Umask(umask)
			got[i] = a.do(root)
		})
	}
	line := fmt.Sprintf("%s under umask %03o: %s: %s", who.name, umask, a.what, got[0])
	if w.log = append(w.log, line); len(w.log) > 25 {
		w.log = w.log[1:]
	}
	if got[0] != got[1] && !(w.loose && fold(got[0]) == fold(got[1])) {
		w.Errorf("%s under umask %03o: %s:\nthe disk  %s\nthe mount %s", who.name, umask, a.what, got[0], got[1])
	}
	switch {
	case strings.Contains(got[0], "EACCES"), strings.Contains(got[0], "EPERM"):
		w.denied++
	case strings.HasPrefix(got[0], "0"):
		w.granted++
	}
	for _, p := range a.paths {
		w.compare(p)
	}
	if a.moves {
		w.look()
	}
}

// fold makes all refusals one.
func fold(s string) string { return anErrno.ReplaceAllString(s, "refused") }

var anErrno = regexp.MustCompile(`\bE[A-Z0-9]+\b`)

// look finds what paths there are, on the disk.
func (w *walk) look() {
	w.paths = w.paths[:0]
	err := filepath.WalkDir(w.roots[0], func(p string, _ os.DirEntry, err error) error {
		if rel, _ := filepath.Rel(w.roots[0], p); rel != "." {
			w.paths = append(w.paths, rel)
		}
		return err
	})
	if err != nil {
		w.Fatal(err)
	}
}

// compareAll compares every path, and that there are no others on the mount.
func (w *walk) compareAll() {
	w.look()
	disk := slices.Clone(w.paths)
	var mount []string
	err := filepath.WalkDir(w.roots[1], func(p string, _ os.DirEntry, err error) error {
		if rel, _ := filepath.Rel(w.roots[1], p); rel != "." {
			mount = append(mount, rel)
		}
		return err
	})
	if err != nil {
		w.Fatal(err)
	}
	if !slices.Equal(disk, mount) {
		w.Errorf("the disk has %v\nthe mount  %v", disk, mount)
	}
	for _, p := range append(disk, ".") {
		w.compare(p)
	}
}

// compare compares what root sees of one path.
func (w *walk) compare(rel string) {
	disk, mount := state(filepath.Join(w.roots[0], rel)), state(filepath.Join(w.roots[1], rel))
	if disk != mount {
		w.Errorf("%s:\nthe disk  %s\nthe mount %s", rel, disk, mount)
	}
}
