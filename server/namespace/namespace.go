// Package namespace is the tree of inodes: POSIX, written once, over the
// transactions of an [engine.Engine]. It knows names, attributes, permissions,
// link counts, open files and which slices a file is made of. It refuses to
// know the bytes of files, the wire, how a caller proved who it is, and where
// an engine keeps its keys.
//
// A [Tree] is bound to a caller, and a [View] is a posix.Namespace:
//
//	tree, err := namespace.Open(ctx, namespace.Config{Engine: mem.New()})
//	fs := tree.As(posix.Cred{UID: 1000, GID: 1000}).In(session)
//	dir, err := fs.Mkdir(ctx, posix.RootIno, "home", 0o777, 0o022)
//
// Each method of a View is one transaction, but for the truncation of a file
// with thousands of extents, which takes several, each of which leaves a file
// that a shorter truncation could have left. What runs inside a transaction
// is told what to do by package-internal words in entry.go, rename.go, data.go;
// whether it may be done is asked in check.go and nowhere else. keys.go draws
// the keys, record.go the values.
//
// # Access times
//
// The server sees no reads of files: opening one for reading counts as one, as
// do readlink(2) and the beginning of a listing. When that moves atime is
// Config.Atime, by default as a Linux mount does (relatime); it is written
// late, and lost by a crash.
package namespace

import (
	"context"
	"crypto/rand"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/engine"
	"github.com/wardfs/wardfs/server/lock"
)

// SessionID names a session: the owner of handles and reply slots. It is never
// used again after its end.
type SessionID uint64

// Config says how a Tree is opened. The zero value of all but Engine is useful.
type Config struct {
	Engine engine.Engine // required; it is not closed by the Tree

	Now  func() time.Time // default time.Now
	Rand io.Reader        // default crypto/rand: the hash key and generations

	// Usage answers the bytes of the chunk store's disk, for Statfs. Default:
	// a petabyte, all free.
	Usage func(context.Context) (total, free uint64, err error)

	// Linger is for how long a file that lost its last name may still be
	// opened by its number; default not at all. See opens.lingers.
	Linger time.Duration

	// FreedAge is for how long blocks that no file names any more are kept for
	// readers whose layout is older; default 30 s, negative is none.
	FreedAge time.Duration

	// FreedMost is how many bytes of such blocks are kept for them; what is
	// beyond goes at once. Default 4 GiB.
	FreedMost int64

	// HandlesMost is how many handles a session may have (EMFILE), 0 is no end;
	// LocksMost how many ranges it may lock (ENOLCK), 0 is 65536. Limited is
	// told of each refusal, with "handles" or "locks"; may be nil.
	HandlesMost, LocksMost int
	Limited                func(limit string)

	// Atime says when reading moves atime; default Relatime.
	Atime AtimePolicy

	// Root is what a fresh namespace's root gets. Mode 0 means 0755.
	Root struct {
		UID  posix.UID
		GID  posix.GID
		Mode posix.Mode
	}

	// Changed is called after a change is durable and before its author gets
	// the answer. It may be called from many goroutines, must not block, and
	// must not call the Tree. May be nil.
	Changed func(Change)

	Log *slog.Logger // nil discards
}

// ChangeKind says what a cache must forget. The kinds are bits.
type ChangeKind uint8

// The kinds of a Change.
const (
	ChangeAttr  ChangeKind = 1 << iota // attributes or xattrs of Ino
	ChangeData                         // bytes of Ino; comes with ChangeAttr
	ChangeEntry                        // what Name in Dir names; Dir's own attributes and listing too
	ChangeGone                         // Ino lost its last name
)

// Change is one thing that other caches must forget: a conflict in the sense
// of leases, whose holder is anyone but By.
type Change struct {
	By   SessionID
	Kind ChangeKind
	Ino  posix.Ino // whose attributes changed; with ChangeEntry the inode that the name was given or lost
	Dir  posix.Ino // with ChangeEntry
	Name string    // with ChangeEntry
}

// Tree is a namespace over one engine. Only one Tree may be open over an
// engine at a time: inode numbers and open files are its own. All methods are
// safe for concurrent use.
type Tree struct {
	cfg    Config
	eng    engine.Engine
	log    *slog.Logger
	hash   func(name string) uint64 // see hashName
	gen    uint64                   // Attr.Gen of inodes made by this run
	inos   inos
	opens  opens
	dirs   dirs
	quotas quotas
	locks  *lock.Table
	atimes atimes
	acls   aclCache
	files  atomic.Int64 // inodes that there are
	ragged ragged
	// backlog is the bytes of slices that nobody names and that are not
	// forgotten yet.
	backlog atomic.Int64
	sweep   atomic.Uint64
	step    int // records that one transaction cuts or frees, at most; tests lower it
}

// View is a Tree as one caller sees it.
type View struct {
	t    *Tree
	cred posix.Cred
	sess SessionID
	slot uint32
	seq  uint64 // 0: not protected
	dirs *[]posix.Attr

	changes   *[]Change
	promising bool
}

var _ posix.Namespace = View{}

// As binds the tree to a caller, outside of any session.
func (t *Tree) As(c posix.Cred) View { return View{t: t, cred: c} }

// Super reports whether the caller is a superuser.
func (v View) Super() bool { return v.cred.Super }

// In says in which session the caller acts: whose handles are meant.
func (v View) In(s SessionID) View { v.sess = s; return v }

// Session is the caller's.
func (v View) Session() SessionID { return v.sess }

// UID is the caller's.
func (v View) UID() posix.UID { return v.cred.UID }

// Once makes the next changing method of the view happen once however often
// it is sent: the session's slot remembers, in the same transaction, that seq
// was applied and what it made. The same seq again changes nothing and answers
// anew; a lower one than the slot's last is ESTALE. An operation that failed
// leaves no trace, so its retry is a new try. A slot holds one operation at a
// time; seq 0 means no protection.
func (v View) Once(slot uint32, seq uint64) View { v.slot, v.seq = slot, seq; return v }

// Telling makes the view put into dirs the directories whose entries its next
// changing method changed, as they are after that. It tells nothing of a change
// that was applied before.
func (v View) Telling(dirs *[]posix.Attr) View { v.dirs = dirs; return v }

// now is the time of a change.
func (t *Tree) now() posix.Time { return posix.TimeOf(t.cfg.Now()) }

// withDefaults fills what was left out.
func (c Config) withDefaults() Config {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	if c.Usage == nil {
		c.Usage = func(context.Context) (uint64, uint64, error) { return 1 << 50, 1 << 50, nil }
	}
	if c.FreedAge == 0 {
		c.FreedAge = 30 * time.Second
	}
	c.FreedAge = max(c.FreedAge, 0)
	if c.FreedMost == 0 {
		c.FreedMost = 4 << 30
	}
	if c.Root.Mode == 0 {
		c.Root.Mode = 0o755
	}
	if c.Limited == nil {
		c.Limited = func(string) {}
	}
	if c.Changed == nil {
		c.Changed = func(Change) {}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}
