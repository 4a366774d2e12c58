// Package cache keeps attributes and names that the server has told, for the
// mount that asked, so that what the kernel has forgotten need not be asked
// again.
//
// What it keeps is true because the server tells what others change (the
// recalls on the session's stream): between that telling and the next there is
// nothing to ask. So it answers only while the stream is up, forgets all when
// it breaks, and for the case that both sides believe in a stream which is none
// (a frozen machine, a network that swallows) believes nothing that is older
// than Config.Age. Leases will take the place of that bound.
//
// It refuses to judge. Lookup is answered without asking whether the caller may
// search the directory, so that it has its place only below a kernel that asks
// by itself (default_permissions). It knows no bytes of files and keeps nothing
// on a disk.
//
//	c := cache.New(cache.Config{})
//	ns := c.Over(remote)         // as often as wanted: one for each caller
//	c.Forget(changes, false)     // by whoever hears of them
package cache

import (
	"slices"
	"sync"
	"time"

	"github.com/wardfs/wardfs/posix"
)

// Config is what New needs; the zero value is useful.
type Config struct {
	Age  time.Duration    // for how long an answer is believed; default 30 s
	Most int              // of inodes, and as many names; default 65,536
	Now  func() time.Time // default time.Now
}

// Cache is safe for concurrent use.
type Cache struct {
	age    time.Duration
	now    func() time.Time
	doubts Doubts
	// lapses are those doubts that an answer to a change of our own does not
	// lift: others', and ours whose outcome is not known.
	lapses Doubts

	mu    sync.Mutex
	attrs generations[posix.Ino, known]
	names generations[key, named]
	whole generations[posix.Ino, time.Time] // see whole.go

	hits, misses int64
}

type key struct {
	dir  posix.Ino
	name string
}

// known is what an inode was.
type known struct {
	attr  posix.Attr
	until time.Time
	lacks []string // extended attributes that are not there, as of attr.Change; never changed in place
}

// named is what a name was: inode 0 if there was none.
type named struct {
	ino   posix.Ino
	until time.Time
}

// Stats counts what the cache did.
type Stats struct {
	Hits   int64 `json:"hits"`
	Misses int64 `json:"misses"`
	Inodes int   `json:"inodes"`
	Names  int   `json:"names"`
}

// New makes an empty cache.
func New(c Config) *Cache {
	if c.Age == 0 {
		c.Age = 30 * time.Second
	}
	if c.Most == 0 {
		c.Most = 1 << 16
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	cache := &Cache{
		age: c.Age, now: c.Now,
		attrs: generations[posix.Ino, known]{most: c.Most}, names: generations[key, named]{most: c.Most},
		whole: generations[posix.Ino, time.Time]{most: mostWhole},
	}
	cache.names.dropped = cache.whole.clear // nobody knows of which directory
	return cache
}

// Stats answers the counts as they are now.
func (c *Cache) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Stats{c.hits, c.misses, c.attrs.len(), c.names.len()}
}

// Forget notes what others have changed; everything means all.
func (c *Cache) Forget(changes []posix.Change, everything bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if everything {
		c.doubts.All()
		c.lapses.All()
		c.attrs.clear()
		c.names.clear()
		c.whole.clear()
		return
	}
	for _, x := range changes {
		if x.Name != "" {
			c.dropName(x.Dir, x.Name)
			c.lapse(x.Dir)
		}
		if x.Ino != 0 {
			c.lapse(x.Ino)
		}
	}
}

// lapse forgets an inode, and which names it has if it is a directory.
func (c *Cache) lapse(ino posix.Ino) {
	c.lapses.Inode(ino)
	c.dropInode(ino)
	c.whole.remove(ino)
}

func (c *Cache) dropInode(ino posix.Ino) {
	c.doubts.Inode(ino)
	c.attrs.remove(ino)
}

func (c *Cache) dropName(dir posix.Ino, name string) {
	c.doubts.Entry(dir, name)
	c.names.remove(key{dir, name})
}

// attr answers what is known of ino.
func (c *Cache) attr(ino posix.Ino) (posix.Attr, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.believed(ino)
}

func (c *Cache) believed(ino posix.Ino) (posix.Attr, bool) {
	if x, ok := c.attrs.get(ino); ok && c.now().Before(x.until) {
		c.hits++
		return x.attr, true
	}
	c.misses++
	return posix.Attr{}, false
}

// lookup answers what is known of a name: attributes of inode 0 say that there
// is none.
func (c *Cache) lookup(dir posix.Ino, name string) (posix.Attr, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	x, ok := c.names.get(key{dir, name})
	switch {
	case !ok && c.lacks(dir):
		c.hits++
		return posix.Attr{}, true
	case !ok || !c.now().Before(x.until):
		c.misses++
		return posix.Attr{}, false
	case x.ino == 0:
		c.hits++
		return posix.Attr{}, true
	}
	return c.believed(x.ino)
}

// keep notes attributes that a question brought which began at mark.
func (c *Cache) keep(mark uint64, a posix.Attr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.learn(mark, a)
}

// learn is keep with c.mu held. Answers of one inode may overtake each other;
// the change number tells which is the newer.
func (c *Cache) learn(mark uint64, a posix.Attr) {
	if a.Ino == 0 || c.doubts.InodeSince(mark, a.Ino) {
		return
	}
	x, there := c.attrs.get(a.Ino)
	if there && x.attr.Change > a.Change {
		return
	}
	k := known{attr: a, until: c.now().Add(c.age)}
	if there && x.attr.Change == a.Change {
		k.lacks = x.lacks
	}
	c.attrs.put(a.Ino, k)
}

// mostLacks is how many names are kept of one inode: there are four that
// programs ask for in vain.
const mostLacks = 4

// lacksXattr reports whether ino is known to have no such extended attribute.
func (c *Cache) lacksXattr(ino posix.Ino, name string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	x, ok := c.attrs.get(ino)
	return ok && c.now().Before(x.until) && slices.Contains(x.lacks, name)
}

// keepLack notes that ino has none, together with its attributes: what makes
// these old makes that old.
func (c *Cache) keepLack(mark uint64, ino posix.Ino, name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	x, ok := c.attrs.get(ino)
	if !ok || len(x.lacks) >= mostLacks || c.doubts.InodeSince(mark, ino) {
		return
	}
	x.lacks = append(slices.Clip(x.lacks), name)
	c.attrs.put(ino, x)
}

// keepName notes what a name is, with attributes of inode 0 that it is not.
func (c *Cache) keepName(mark uint64, dir posix.Ino, name string, a posix.Attr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.learnName(mark, dir, name, a)
}

func (c *Cache) learnName(mark uint64, dir posix.Ino, name string, a posix.Attr) {
	if !c.doubts.EntrySince(mark, dir, name) {
		c.names.put(key{dir, name}, named{a.Ino, c.now().Add(c.age)})
	}
	c.learn(mark, a)
}

// changed notes that this mount has changed an inode, which is a now. What
// others ask at the same time may have been answered before; what others of
// this mount change has an answer too, and the change number tells which is the
// newer.
func (c *Cache) changed(m marks, a posix.Attr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.own(m, a)
}

// own is changed with c.mu held, and reports whether a was certain.
func (c *Cache) own(m marks, a posix.Attr) bool {
	if c.lapses.InodeSince(m.lapses, a.Ino) {
		c.lapse(a.Ino)
		return false
	}
	c.doubts.Inode(a.Ino)
	c.learn(c.doubts.Mark(), a)
	return true
}

// doubt notes that this mount may have changed an inode, it is not known how.
func (c *Cache) doubt(ino posix.Ino) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lapse(ino)
}

// made notes that this mount has given an inode a name.
func (c *Cache) made(m marks, dir posix.Ino, name string, a posix.Attr, dirs []posix.Attr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	sure := c.sure(m, dir, name) && !c.doubts.InodeSince(m.doubts, a.Ino)
	c.dropName(dir, name)
	c.dropInode(a.Ino)
	if sure {
		c.learnName(c.doubts.Mark(), dir, name, a)
	} else {
		c.whole.remove(dir)
	}
	c.touched(m, dir, dirs)
	if sure && a.Mode.IsDir() && a.Size == 0 && a.Nlink == 2 {
		c.whole.put(a.Ino, c.now().Add(c.age)) // it is fresh: nothing is in it
	}
}

// unnamed notes that this mount has tried in vain to give a name: somebody else
// may have made it, or it was done and nobody could say so.
func (c *Cache) unnamed(dir posix.Ino, name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropName(dir, name)
	c.lapse(dir)
}

// listed notes what a listing with attributes brought. Entries without any are
// those of a directory that may not be searched.
func (c *Cache) listed(mark uint64, dir posix.Ino, entries []posix.Dirent) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range entries {
		switch e := &entries[i]; {
		case e.Attr.Nlink == 0:
		case e.Name == "." || e.Name == "..":
			c.learn(mark, e.Attr)
		default:
			c.learnName(mark, dir, e.Name, e.Attr)
		}
	}
}

// doubtInodes notes that some inode may have changed, it is not known which.
func (c *Cache) doubtInodes() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forgetInodes()
}

func (c *Cache) forgetInodes() {
	c.doubts.All()
	c.lapses.All()
	c.attrs.clear()
}

// unmade notes that this mount has taken a name away, or tried.
func (c *Cache) unmade(m marks, dir posix.Ino, name string, dirs []posix.Attr, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	x, known := c.names.get(key{dir, name})
	if err != nil || !known || !c.sure(m, dir, name) {
		c.whole.remove(dir)
	}
	if err == nil && x.ino == 0 {
		c.forgetInodes() // somebody had made it, and which one is gone?
	}
	c.dropNamed(dir, name)
	c.touched(m, dir, dirs)
}

// dropNamed forgets a name and the inode that it was; where that is not known,
// every inode.
func (c *Cache) dropNamed(dir posix.Ino, name string) {
	x, known := c.names.get(key{dir, name})
	c.dropName(dir, name)
	switch {
	case !known && !c.lacks(dir):
		c.forgetInodes()
	case x.ino != 0:
		c.lapse(x.ino)
	}
}
