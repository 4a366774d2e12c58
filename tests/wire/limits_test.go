package wire

import (
	"fmt"
	"testing"

	"github.com/wardfs/wardfs/identity/idmap"
	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/proto"
	"github.com/wardfs/wardfs/server"
)

// limited is a house that lets nobody have much.
func limited(t *testing.T, l server.Limits) *house {
	h := newHouse(t)
	h.stop()
	h.limits = l
	h.start()
	return h
}

// A client that wants all that there is gets what one may have, an errno that
// says which that was, and its session stays good.
func TestLimitsOfASession(t *testing.T) {
	const most = 5
	h := limited(t, server.Limits{Handles: most, Locks: most, Names: most, Pending: most << 10})
	p := newPeer(h, trustedHello())
	var capability []byte
	var ino uint64
	opened := 0
	for i := range uint64(2 * most) {
		r := p.create(1, fmt.Sprint("f", i), 0o600, 0, i+1, &proto.Cred{Super: true})
		switch e := p.errno(r); e {
		case 0:
			opened, capability, ino = opened+1, r.Opened.Capability, r.Opened.Attr.Ino
		case posix.EMFILE:
		default:
			t.Fatal(e)
		}
	}
	if opened != most {
		t.Errorf("%d files are open, of %d", opened, most)
	}
	if e := p.errno(p.lookup(1, fmt.Sprint("f", most), &proto.Cred{Super: true})); e != posix.ENOENT {
		t.Errorf("what could not be opened was made: %v", e)
	}
	p.must(p.do(&proto.Call{Op: &proto.Call_Close{Close: &proto.Close{Handle: 1}}}, &proto.Cred{Super: true}))
	p.must(p.create(1, "another", 0o600, 0, 99, &proto.Cred{Super: true}))

	locked := 0
	for i := range uint64(2 * most) {
		l := proto.ToLock(posix.Lock{Type: posix.LockWrite, Start: 4 * i, End: 4*i + 1, Owner: 1})
		switch e := p.errno(p.do(&proto.Call{Op: &proto.Call_Setlk{Setlk: &proto.Setlk{Ino: ino, Lock: l}}}, &proto.Cred{Super: true})); e {
		case 0:
			locked++
		case posix.ENOLCK:
		default:
			t.Fatal(e)
		}
	}
	if locked != most {
		t.Errorf("%d ranges are locked, of %d", locked, most)
	}
	h.putsUntil(t, p, capability, ino, most, most<<10)
}

// putsUntil puts blocks of 1 KiB and expects EDQUOT beyond most bytes, until
// some are committed.
func (h *house) putsUntil(t *testing.T, p *peer, capability []byte, ino, handle, most uint64) {
	st := dialLane(h)
	slice := func(i int) []byte { return append(make([]byte, 15), byte(i+1)) }
	put := func(i int) posix.Errno {
		return frame(t, st, &proto.BlockHeader{Op: proto.BlockHeader_PUT, Capability: capability, File: ino, Slice: slice(i)}, make([]byte, 1<<10))
	}
	n := 0
	for ; put(n) == 0; n++ {
		if n > int(most) {
			t.Fatal("it goes on")
		}
	}
	if uint64(n)<<10 != most || put(n) != posix.EDQUOT || put(0) != 0 {
		t.Errorf("%d KiB could be put, of %d bytes", n, most)
	}
	commit := func() posix.Errno {
		return p.errno(p.do(&proto.Call{Op: &proto.Call_Commit{Commit: &proto.Commit{Handle: handle, Extents: []*proto.Extent{
			{Len: 1 << 10, File: ino, Slice: slice(0), SliceLen: 1 << 10}}}}}, &proto.Cred{Super: true}))
	}
	for range 3 { // only the first makes room
		if e := commit(); e != 0 {
			t.Fatal(e)
		}
	}
	if a, b := put(n), put(n+1); a != 0 || b != posix.EDQUOT {
		t.Errorf("after one was committed: %v, %v", a, b)
	}
}

func TestLimitOfSessions(t *testing.T) {
	h := limited(t, server.Limits{Sessions: 2})
	for range 2 {
		if p := newPeer(h, trustedHello()); p.w.GetErrno() != 0 {
			t.Fatal(p.w)
		}
	}
	p := newPeer(h, trustedHello())
	if e := posix.ErrnoOf(proto.Failure("hello", p.w.GetErrno(), "")); e != posix.EDQUOT {
		t.Errorf("a third session: %v", e)
	}
}

// Names that a trusted host makes up fill nobody's table in a day.
func TestLimitOfNames(t *testing.T) {
	h := newHouse(t)
	h.limits, h.auth.Superuser = server.Limits{Names: 3}, "somebody else"
	anybody(h)
	table := h.connect().Table()
	for i, want := range []posix.Errno{0, 0, 0, posix.EDQUOT} {
		_, err := table.IDs(t.Context(), idmap.User, []string{fmt.Sprint("made up ", i)})
		if got := posix.ErrnoOf(err); err != nil && got != want || err == nil && want != 0 {
			t.Errorf("name %d: %v, want %v", i, err, want)
		}
	}
	if ids, err := table.IDs(t.Context(), idmap.User, []string{"made up 1"}); err != nil || len(ids) != 1 {
		t.Errorf("one that is there: %v", err)
	}
}
