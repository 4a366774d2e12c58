package fuse

import (
	"sync"
	"time"

	raw "github.com/hanwen/go-fuse/v2/fuse"

	"github.com/wardfs/wardfs/posix"
)

// grants are what the kernel was told it may believe without asking, for as
// long as it may. Should the server no longer say what others change, all of it
// is taken back: the kernel itself can be told to forget only one thing by one.
//
// They are kept in two periods, this and the one before, each as long as the
// longest timeout: what is in neither, the kernel asks for anyway.
type grants struct {
	period time.Duration
	now    func() time.Time

	mu         sync.Mutex
	since      time.Time // the beginning of this period
	this, last map[grant]struct{}
}

// grant is a name in a directory, or with none the attributes of ino, which is
// then dir.
type grant struct {
	dir  posix.Ino
	name string
}

const (
	// mostGrants is how many there are in a period at most. Beyond it the
	// kernel is told to ask again soon.
	mostGrants = 1 << 17
	// crowdTimeout is how soon.
	crowdTimeout = time.Second
)

// add notes a grant and answers for how long it may be given at most.
func (g *grants) add(x grant, d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	now := g.now()
	g.mu.Lock()
	defer g.mu.Unlock()
	if now.Sub(g.since) >= g.period {
		g.last, g.this = g.this, nil
		if now.Sub(g.since) >= 2*g.period {
			g.last = nil
		}
		g.since = now
	}
	if _, again := g.this[x]; again {
		return d
	}
	if len(g.this) >= mostGrants {
		return min(d, crowdTimeout)
	}
	if g.this == nil {
		g.this = map[grant]struct{}{}
	}
	g.this[x] = struct{}{}
	return d
}

// notices is how to take all of it back.
func (g *grants) notices() []notice {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := make([]notice, 0, len(g.this)+len(g.last))
	for _, set := range []map[grant]struct{}{g.this, g.last} {
		for x := range set {
			if x.name == "" {
				out = append(out, notice{ino: x.dir})
			} else {
				out = append(out, notice{dir: x.dir, name: x.name})
			}
		}
	}
	return out
}

// believed is how to make the kernel forget all that it may believe, and the
// pages of what is open, which it believes without a limit, and the names of
// directories.
func (s *server) believed() []notice {
	all := s.grants.notices()
	for _, f := range s.files.all() {
		all = append(all, notice{ino: f.Ino()})
	}
	return append(all, s.listings.notices()...)
}

// A question is one of the kernel's that is being answered: what others change
// meanwhile may be missing in the answer, which is then for this once.
type question struct {
	s    *server
	mark uint64
}

func (s *server) question() question { return question{s, s.doubts.Mark()} }

// attrTimeout is how long the kernel may believe a. What is written and not yet
// committed here makes attributes that are not the last word. A set-id bit can
// go by a write past the page cache, after which the kernel asks for times and
// size anew, but not for the mode.
func (q question) attrTimeout(a posix.Attr) time.Duration {
	s := q.s
	d := s.Options.AttrTimeout
	if d == 0 || s.doubts.InodeSince(q.mark, a.Ino) || a.Mode.IsReg() && (a.Mode&(posix.SetUID|posix.SetGID) != 0 || s.Files.Unsettled(a.Ino)) {
		return 0
	}
	return s.grants.add(grant{dir: a.Ino}, d)
}

// entryTimeout is how long it may believe what name in dir is, or with none
// that it is not there.
func (q question) entryTimeout(dir posix.Ino, name string, most time.Duration) time.Duration {
	if most == 0 || q.s.doubts.EntrySince(q.mark, dir, name) {
		return 0
	}
	return q.s.grants.add(grant{dir, name}, most)
}

// entry fills the answer of whatever gives the kernel a node. The node id is
// the inode number. The kernel makes the root by itself, with generation 0.
func (q question) entry(dir posix.Ino, name string, a posix.Attr, out *raw.EntryOut) {
	out.NodeId = uint64(a.Ino)
	out.Generation = a.Gen
	if a.Ino == posix.RootIno {
		out.Generation = 0
	}
	q.s.see(a)
	attrTo(a, &out.Attr)
	out.SetAttrTimeout(q.attrTimeout(a))
	out.SetEntryTimeout(q.entryTimeout(dir, name, q.s.Options.EntryTimeout))
}

// attr fills the answer of getattr and setattr.
func (q question) attr(a posix.Attr, out *raw.AttrOut) {
	q.s.see(a)
	attrTo(a, &out.Attr)
	out.SetTimeout(q.attrTimeout(a))
}

// made fills out with the attributes of what an operation found or made.
func (q question) made(dir uint64, name string, out *raw.EntryOut, a posix.Attr, err error) error {
	if err == nil {
		q.entry(posix.Ino(dir), name, a, out)
	}
	return err
}
