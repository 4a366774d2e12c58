package namespace

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/engine"
)

// Every inode that has a name knows where: the directory, and the hash of the
// name in it, under which the entry is one short scan away. An inode with one
// name has that in its record, which every change of the name writes anyway.
// One with several has a record for each under keyLink instead. One without a
// name has neither; a directory that was removed keeps its parent alone, for
// its "..".

// placed notes that n, whose link count includes it, has a name in dir.
func (x *txn) placed(n *inode, dir posix.Ino, hash uint64) error {
	if n.Mode.IsDir() || n.Nlink == 1 {
		n.parent, n.place = dir, hash
		return nil
	}
	return x.countLink(n.Ino, dir, hash, +1)
}

// displaced notes that n, whose link count still includes it, loses a name.
func (x *txn) displaced(n *inode, dir posix.Ino, hash uint64) error {
	switch {
	case n.Mode.IsDir():
		x.moving(n.Ino)
		n.place = 0
		return nil
	case n.Nlink == 1:
		n.parent, n.place = 0, 0
		return nil
	}
	return x.countLink(n.Ino, dir, hash, -1)
}

// countLink counts names of ino in dir with this hash: one at most, unless
// two names collide.
func (x *txn) countLink(ino, dir posix.Ino, hash uint64, by int) error {
	key := linkKey(ino, dir, hash)
	n, err := count(x.r, key)
	if err != nil {
		return err
	}
	if n += uint64(by); n == 0 {
		x.tx.Delete(key)
		return nil
	}
	if int64(n) < 0 {
		return fmt.Errorf("%w: inode %d has a name in directory %d that is not counted", errRecord, ino, dir)
	}
	x.tx.Put(key, encodeCount(n))
	return nil
}

// spread readies n, which has one name, for a second one.
func (x *txn) spread(n *inode) error {
	dir, hash := n.parent, n.place
	n.parent, n.place = 0, 0
	if dir == 0 {
		return fmt.Errorf("%w: inode %d has a name and does not know where", errRecord, n.Ino)
	}
	return x.countLink(n.Ino, dir, hash, +1)
}

// gather moves the only link that n has left into its record.
func (x *txn) gather(n *inode) error {
	var last []byte
	err := x.links(n.Ino, func(k, _ []byte) bool {
		last = slices.Clone(k)
		return false
	})
	if err == nil && last == nil {
		err = fmt.Errorf("%w: inode %d has a name and does not know where", errRecord, n.Ino)
	}
	if err != nil {
		return err
	}
	n.parent, n.place = posix.Ino(second(last)), third(last)
	x.tx.Delete(last)
	return nil
}

// links calls f for each record of a name of ino, which has several.
func (s *snap) links(ino posix.Ino, f func(k, v []byte) bool) error {
	prefix := key8(keyLink, uint64(ino))
	return s.r.Scan(prefix, engine.Successor(prefix), f)
}

// moving says that the transaction changes where a directory is.
func (x *txn) moving(dir posix.Ino) {
	if !slices.Contains(x.moved, dir) {
		x.t.dirs.move(dir)
		x.moved = append(x.moved, dir)
	}
}

// Under reports whether ino is dir or below it, by any of its names. It answers
// as of one moment between call and return. What lives on without a name is
// below nothing; ESTALE if there is no ino.
func (t *Tree) Under(ctx context.Context, ino, dir posix.Ino) (under bool, err error) {
	if under, known := t.dirs.under(ino, dir); known {
		return under, nil
	}
	err = t.read(ctx, "under", func(u *upward) error {
		under, err = u.under(ino, dir)
		return err
	})
	return under, err
}

// Path answers a path of ino from the root, the same one as long as its names
// stay: for messages and records, not for looking anything up. ENOENT if it has
// no name any more, ESTALE if there is no ino.
func (t *Tree) Path(ctx context.Context, ino posix.Ino) (path string, err error) {
	if path, known := t.dirs.path(ino); known {
		return path, nil
	}
	err = t.read(ctx, "path", func(u *upward) error {
		path, err = u.path(ino)
		return err
	})
	return path, err
}

// Paths is Path for many, in one look; "" is for those that Path answers an error.
func (t *Tree) Paths(ctx context.Context, inos []posix.Ino) []string {
	paths := make([]string, len(inos))
	var rest []int
	for i, ino := range inos {
		var known bool
		if paths[i], known = t.dirs.path(ino); !known {
			rest = append(rest, i)
		}
	}
	if len(rest) == 0 {
		return paths
	}
	err := t.read(ctx, "path", func(u *upward) error {
		for _, i := range rest {
			var err error
			u.steps = 0
			paths[i], err = u.path(inos[i])
			t.damage("path", err)
		}
		return nil
	})
	if err != nil { // nothing of it is to be relied on
		for _, i := range rest {
			paths[i] = ""
		}
	}
	return paths
}

func (t *Tree) read(ctx context.Context, op string, f func(*upward) error) error {
	epoch := t.dirs.now()
	return t.As(posix.Cred{}).view(ctx, op, func(s *snap) error {
		return f(&upward{snap: s, epoch: epoch})
	})
}

// upward goes from inodes to the root in one snapshot, with the help of what
// Tree.dirs remembers.
type upward struct {
	*snap
	epoch uint64
	steps int
}

// edge answers where directory d is, and as what; ok is false if it was removed.
func (u *upward) edge(d posix.Ino) (e edge, ok bool, err error) {
	if u.steps++; int64(u.steps) > u.t.files.Load()+fileStripes {
		return e, false, fmt.Errorf("%w: directory %d is below itself", errRecord, d)
	}
	if e, ok := u.t.dirs.get(d, u.epoch); ok {
		return e, true, nil
	}
	n, err := u.peek(d)
	if err != nil {
		return e, false, err
	}
	if !n.Mode.IsDir() {
		return e, false, fmt.Errorf("%w: inode %d is above others and no directory", errRecord, d)
	}
	if n.Nlink == 0 {
		return e, false, nil
	}
	name, err := u.nameAt(n.parent, n.place, d)
	if err != nil {
		return e, false, err
	}
	e = edge{n.parent, name}
	u.t.dirs.put(d, e, u.epoch)
	return e, true, nil
}

// peek is inode, and does not keep it.
func (u *upward) peek(ino posix.Ino) (*inode, error) {
	b, ok, err := u.r.Get(inodeKey(ino))
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, posix.ESTALE
	}
	return decodeInode(ino, b)
}

// nameAt answers the name of ino in dir that has this hash.
func (u *upward) nameAt(dir posix.Ino, hash uint64, ino posix.Ino) (name string, err error) {
	var bad error
	err = u.r.Scan(entriesFrom(dir, hash), entriesFrom(dir, hash+1), func(k, v []byte) bool {
		e, err := decodeEntry(v)
		if bad = err; bad == nil && e.ino == ino {
			name = string(k[entryName:])
		}
		return bad == nil && name == ""
	})
	if err == nil {
		err = bad
	}
	if err == nil && name == "" {
		err = fmt.Errorf("%w: directory %d has no name of inode %d where it should", errRecord, dir, ino)
	}
	return name, err
}

// dirUnder reports whether directory d is dir or below it.
func (u *upward) dirUnder(d, dir posix.Ino) (bool, error) {
	for d != dir && d != posix.RootIno {
		e, ok, err := u.edge(d)
		if !ok || err != nil {
			return false, err
		}
		d = e.parent
	}
	return d == dir, nil
}

func (u *upward) under(ino, dir posix.Ino) (bool, error) {
	n, err := u.peek(ino)
	switch {
	case err != nil:
		return false, err
	case ino == dir:
		return true, nil
	case n.Mode.IsDir():
		return u.dirUnder(ino, dir)
	case n.parent != 0:
		return u.dirUnder(n.parent, dir)
	}
	// The names are in the order of their directories: one walk for each.
	var under bool
	var bad error
	last := posix.Ino(0)
	err = u.links(ino, func(k, _ []byte) bool {
		if d := posix.Ino(second(k)); d != last {
			last = d
			under, bad = u.dirUnder(d, dir)
		}
		return !under && bad == nil
	})
	if err == nil {
		err = bad
	}
	return under, err
}

func (u *upward) path(ino posix.Ino) (string, error) {
	var names []string
	n, err := u.peek(ino)
	if err != nil {
		return "", err
	}
	d := ino
	if !n.Mode.IsDir() {
		dir, hash, err := u.somewhere(n)
		if err != nil {
			return "", err
		}
		name, err := u.nameAt(dir, hash, ino)
		if err != nil {
			return "", err
		}
		d, names = dir, append(names, name)
	}
	for d != posix.RootIno {
		e, ok, err := u.edge(d)
		if err != nil {
			return "", err
		}
		if !ok {
			return "", posix.ENOENT
		}
		d, names = e.parent, append(names, e.name)
	}
	return joined(names), nil
}

// somewhere is the place of one name of n, which is no directory.
func (s *snap) somewhere(n *inode) (dir posix.Ino, hash uint64, err error) {
	if n.parent != 0 {
		return n.parent, n.place, nil
	}
	err = s.links(n.Ino, func(k, _ []byte) bool {
		dir, hash = posix.Ino(second(k)), third(k)
		return false
	})
	if err == nil && dir == 0 {
		err = posix.ENOENT
	}
	return dir, hash, err
}

// joined is the path whose names these are, the last one first.
func joined(names []string) string {
	slices.Reverse(names)
	return "/" + strings.Join(names, "/")
}
