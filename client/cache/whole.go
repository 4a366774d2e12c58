package cache

import "github.com/wardfs/wardfs/posix"

// A directory that this mount made is known whole: it was empty, and what came
// and went since passed through here or was recalled. A name in it of which
// nothing is known is not there, so that what a kernel asks before it makes a
// file or moves one there needs no round trip. The first thing that is not
// certain ends that: a recall, a change without an answer, one that crossed
// another, a name that had to be forgotten for want of room.

// mostWhole is how many directories are known whole at most, or twice that.
const mostWhole = 1 << 12

// marks are the moment before a change.
type marks struct{ doubts, lapses uint64 }

func (c *Cache) mark() marks { return marks{c.doubts.Mark(), c.lapses.Mark()} }

// sure reports whether nobody has done anything to the name since the mark: what
// a change has made of it is what it is.
func (c *Cache) sure(m marks, dir posix.Ino, name string) bool {
	return !c.doubts.EntrySince(m.doubts, dir, name)
}

// lacks reports whether a name of which nothing is known is not in dir.
func (c *Cache) lacks(dir posix.Ino) bool {
	until, ok := c.whole.get(dir)
	return ok && c.now().Before(until)
}

// touched notes what a change of our own made of directories, dir first of all.
// Where dirs lacks that one, it is not known.
func (c *Cache) touched(m marks, dir posix.Ino, dirs []posix.Attr) {
	told := false
	for _, a := range dirs {
		if !c.own(m, a) {
			continue
		}
		told = told || a.Ino == dir
		if _, ok := c.whole.get(a.Ino); ok {
			c.whole.put(a.Ino, c.now().Add(c.age)) // an answer: the stream is one
		}
	}
	if !told {
		c.lapse(dir)
	}
}

// renamed notes that this mount has moved a name, or tried.
func (c *Cache) renamed(m marks, from, to key, flags posix.RenameFlags, dirs []posix.Attr, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	x, known := c.names.get(from)
	sure := known && x.ino != 0 && flags&posix.RenameExchange == 0 && err == nil &&
		c.sure(m, from.dir, from.name) && c.sure(m, to.dir, to.name)
	if !sure {
		c.whole.remove(from.dir)
		c.whole.remove(to.dir)
	}
	c.dropNamed(from.dir, from.name)
	c.dropNamed(to.dir, to.name)
	c.touched(m, from.dir, dirs)
	if to.dir != from.dir {
		c.touched(m, to.dir, dirs)
	}
	if sure {
		c.names.put(to, named{x.ino, c.now().Add(c.age)})
	}
}
