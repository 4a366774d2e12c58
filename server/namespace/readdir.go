package namespace

import (
	"context"

	"github.com/wardfs/wardfs/posix"
)

// Readdir answers entries in the order of their names' hashes, and the cookie
// after an entry is its hash + 1: an entry that is there throughout has one
// place, whatever comes and goes around it.
//
// Should two names of a directory have one hash, the cookie after all but the
// last of them is the hash itself: a reader that stops in between sees them
// once more, and loses none. An answer never ends in between, or a reader of
// one entry at a time would stand still, and may for that exceed max.
//
// The right is that of handle h, if that is not 0.
//
// With plus but without search permission on dir, Attr has no more than
// without plus: its Nlink is 0 then, as of no entry that is there.
func (v View) Readdir(ctx context.Context, dir posix.Ino, h posix.Handle, from posix.Cookie, max int, plus bool) (ents []posix.Dirent, err error) {
	if max <= 0 {
		return nil, posix.E("readdir", posix.EINVAL, nil)
	}
	if h != 0 {
		f, err := v.t.opens.get(v.sess, h)
		if err != nil || f.ino != dir || !f.may(posix.OpenRead|posix.OpenDir) {
			return nil, posix.E("readdir", posix.EBADF, nil)
		}
	}
	err = v.view(ctx, "readdir", func(s *snap) error {
		d, err := s.inode(dir)
		if err != nil {
			return err
		}
		if !d.Mode.IsDir() {
			return posix.ENOTDIR
		}
		if h == 0 {
			if err := v.mayReaddir(d); err != nil {
				return err
			}
		}
		if d.Nlink == 0 {
			return nil // removed, and held open: not even the dots
		}
		if from == 0 {
			v.t.accessed(d)
		}
		ents, err = s.dots(d, from, max)
		if err == nil {
			ents, err = s.list(d, max, from, ents)
		}
		if err == nil && plus && v.maySearch(d) == nil {
			err = s.fill(ents)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return ents, nil
}

// dots answers "." and ".." as far as they come after from.
func (s *snap) dots(d *inode, from posix.Cookie, max int) (ents []posix.Dirent, err error) {
	for _, e := range []posix.Dirent{
		{Name: ".", Next: cookieDot, Attr: posix.Attr{Ino: d.Ino}},
		{Name: "..", Next: cookieDotDot, Attr: posix.Attr{Ino: d.parent}},
	} {
		if e.Next > from && len(ents) < max {
			e.Attr.Mode = posix.TypeDir
			ents = append(ents, e)
		}
	}
	return ents, nil
}

// list adds the names whose hash is at least from, until there are max, and
// all of the last one's hash.
func (s *snap) list(d *inode, max int, from posix.Cookie, ents []posix.Dirent) ([]posix.Dirent, error) {
	var bad error
	last := uint64(0) // hash of the entry before, if it is a name
	scan := func(k, v []byte) bool {
		hash := second(k)
		if len(ents) >= max && hash != last {
			return false
		}
		if hash == last {
			ents[len(ents)-1].Next = posix.Cookie(hash)
		}
		e, err := decodeEntry(v)
		if err != nil {
			bad = err
			return false
		}
		last = hash
		ents = append(ents, posix.Dirent{
			Name: string(k[len(entriesFrom(0, 0)):]), Next: posix.Cookie(hash + 1),
			Attr: posix.Attr{Ino: e.ino, Mode: e.typ},
		})
		return true
	}
	err := s.r.Scan(entriesFrom(d.Ino, uint64(from)), key8(keyEntry, uint64(d.Ino)+1), scan)
	if err == nil {
		err = bad
	}
	return ents, err
}

// fill reads the whole attributes.
func (s *snap) fill(ents []posix.Dirent) error {
	for i := range ents {
		n, err := s.named(entry{ino: ents[i].Attr.Ino})
		if err != nil {
			return err
		}
		ents[i].Attr = n.Attr
		s.inodes = s.inodes[:0] // each is wanted once
	}
	return nil
}
