package lock

import (
	"context"
	"math"
	"testing"

	"github.com/wardfs/wardfs/posix"
)

const ino posix.Ino = 10

// TestRanges is how an owner's new lock changes what it has, by fcntl(2): "If a
// lock operation overlaps … the old is converted", "may split", "coalesced".
func TestRanges(t *testing.T) {
	tests := []struct {
		name string
		want string
		ops  []Lock
	}{
		{"one", "w0-9", []Lock{by(1, Write, 0, 9)}},
		{"twice is once", "w0-9", []Lock{by(1, Write, 0, 9), by(1, Write, 0, 9)}},
		{"to the end of the file", "r5-$", []Lock{by(1, Read, 5, EOF)}},
		{"beyond off_t is the end of the file", "r5-$", []Lock{by(1, Read, 5, math.MaxUint64)}},
		{"the last byte", "r9223372036854775807-$", []Lock{by(1, Read, EOF, EOF)}},
		{"apart", "w0-9 w11-20", []Lock{by(1, Write, 0, 9), by(1, Write, 11, 20)}},
		{"adjoining ones merge", "w0-20", []Lock{by(1, Write, 0, 9), by(1, Write, 10, 20)}},
		{"adjoining ones merge backwards", "w0-20", []Lock{by(1, Write, 10, 20), by(1, Write, 0, 9)}},
		{"adjoining types do not", "r0-9 w10-20", []Lock{by(1, Read, 0, 9), by(1, Write, 10, 20)}},
		{"a bridge", "w0-30", []Lock{by(1, Write, 0, 9), by(1, Write, 20, 30), by(1, Write, 10, 19)}},
		{"over many", "r0-99", []Lock{by(1, Write, 1, 2), by(1, Read, 4, 5), by(1, Write, 7, 8), by(1, Read, 0, 99)}},
		{"upgrade in the middle", "r0-3 w4-5 r6-9", []Lock{by(1, Read, 0, 9), by(1, Write, 4, 5)}},
		{"and down again", "r0-9", []Lock{by(1, Read, 0, 9), by(1, Write, 4, 5), by(1, Read, 4, 5)}},
		{"downgrade the head", "r0-4 w5-9", []Lock{by(1, Write, 0, 9), by(1, Read, 0, 4)}},
		{"downgrade the tail", "w0-4 r5-9", []Lock{by(1, Write, 0, 9), by(1, Read, 5, 9)}},
		{"unlock splits", "w0-3 w6-9", []Lock{by(1, Write, 0, 9), by(1, Unlock, 4, 5)}},
		{"unlock the head", "w4-9", []Lock{by(1, Write, 0, 9), by(1, Unlock, 0, 3)}},
		{"unlock the tail", "w0-3", []Lock{by(1, Write, 0, 9), by(1, Unlock, 4, EOF)}},
		{"unlock over many", "w0-1 r8-9", []Lock{by(1, Write, 0, 3), by(1, Write, 5, 5), by(1, Read, 7, 9), by(1, Unlock, 2, 7)}},
		{"unlock beside", "w5-9", []Lock{by(1, Write, 5, 9), by(1, Unlock, 0, 4), by(1, Unlock, 10, 10)}},
		{"unlock what is not locked", "", []Lock{by(1, Unlock, 0, EOF)}},
		{"unlock all", "", []Lock{by(1, Write, 0, 9), by(1, Read, 20, EOF), by(1, Unlock, 0, EOF)}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tab := New(Config{})
			for _, l := range tt.ops {
				mustSet(t, tab, ino, l)
				sound(t, tab)
			}
			if got := has(tab, ino, own(1), Posix); got != tt.want {
				t.Errorf("holds %q, want %q", got, tt.want)
			}
			tab.Release(ino, own(1), Posix)
			empty(t, tab)
		})
	}
}

// TestConflicts is who keeps whom out, and that F_GETLK says so.
func TestConflicts(t *testing.T) {
	tests := []struct {
		name string
		want posix.Errno
		held []Lock
		ask  Lock
	}{
		{"readers share", 0, []Lock{by(1, Read, 0, 9)}, by(2, Read, 0, 9)},
		{"a writer waits for readers", posix.EAGAIN, []Lock{by(1, Read, 0, 9)}, by(2, Write, 9, 9)},
		{"a reader waits for a writer", posix.EAGAIN, []Lock{by(1, Write, 0, 9)}, by(2, Read, 0, 0)},
		{"beside", 0, []Lock{by(1, Write, 0, 9)}, by(2, Write, 10, 19)},
		{"between", 0, []Lock{by(1, Write, 0, 9), by(1, Write, 11, 19)}, by(2, Write, 10, 10)},
		{"over a gap", posix.EAGAIN, []Lock{by(1, Write, 0, 9), by(1, Write, 11, 19)}, by(2, Write, 10, 11)},
		{"a write among reads", posix.EAGAIN, []Lock{by(1, Read, 0, 99), by(1, Write, 50, 50)}, by(2, Read, 10, 80)},
		{"reads beside a write", 0, []Lock{by(1, Read, 0, 99), by(1, Write, 50, 50)}, by(2, Read, 51, 80)},
		{"an owner of another session", posix.EAGAIN, []Lock{by(1, Write, 0, 9)},
			Lock{Type: Write, Start: 0, End: 9, Owner: Owner{2, 1}}},
		{"an open file description", posix.EAGAIN, []Lock{{Type: Write, End: 9, Owner: own(1), OFD: true}}, by(2, Read, 0, 0)},
		{"flock is a space of its own", 0, []Lock{by(1, Write, 0, EOF)}, flock(2, Write)},
		{"flock shares", 0, []Lock{flock(1, Read)}, flock(2, Read)},
		{"flock excludes", posix.EAGAIN, []Lock{flock(1, Read)}, flock(2, Write)},
		{"flock knows no ranges", posix.EAGAIN, []Lock{flock(1, Write)},
			Lock{Kind: Flock, Type: Read, Start: 7, End: 8, Owner: own(2)}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tab := New(Config{})
			for _, l := range tt.held {
				mustSet(t, tab, ino, l)
			}
			c, ok, err := tab.Test(ino, tt.ask)
			if err != nil || ok != (tt.want != 0) {
				t.Fatalf("test: %+v, %v, %v", c, ok, err)
			}
			if ok && c != (tt.held[len(tt.held)-1]).whole() && c != tt.held[0].whole() {
				t.Errorf("test answers %+v, which nobody holds", c)
			}
			if got := try(t, tab, ino, tt.ask); got != tt.want {
				t.Errorf("set: %v, want %v", got, tt.want)
			}
			if got := try(t, tab, ino+1, tt.ask); got != 0 {
				t.Errorf("set on another inode: %v", got)
			}
			sound(t, tab)
		})
	}
}

func TestInvalid(t *testing.T) {
	tab := New(Config{})
	for _, l := range []Lock{
		{},
		{Type: 4, End: 1},
		{Kind: numKinds, Type: Read},
		by(1, Read, 2, 1),
		by(1, Read, EOF+1, math.MaxUint64),
	} {
		wants(t, posix.EINVAL, tab.Set(context.Background(), ino, l, true))
		wants(t, posix.EINVAL, tab.Reclaim(ino, l))
		_, _, err := tab.Test(ino, l)
		wants(t, posix.EINVAL, err)
	}
	wants(t, posix.EINVAL, tab.Reclaim(ino, by(1, Unlock, 0, 1)))
	empty(t, tab)
}

// TestGetlk is what else the answer of F_GETLK says.
func TestGetlk(t *testing.T) {
	tab := New(Config{})
	a, b := by(1, Read, 10, 19), by(2, Read, 0, 99)
	a.PID, b.PID = 101, 102
	mustSet(t, tab, ino, a)
	mustSet(t, tab, ino, b)
	if c, ok, _ := tab.Test(ino, by(3, Write, 0, EOF)); !ok || c != a {
		t.Errorf("%+v, %v: want the lock of who came first", c, ok)
	}
	if c, ok, _ := tab.Test(ino, by(1, Write, 0, EOF)); !ok || c != b {
		t.Errorf("%+v, %v: want the other's", c, ok)
	}
	if c, ok, _ := tab.Test(ino, by(1, Unlock, 0, 10)); !ok || c != a {
		t.Errorf("%+v, %v: want the owner's own", c, ok)
	}
	if c, ok, _ := tab.Test(ino, by(1, Unlock, 20, EOF)); ok {
		t.Errorf("%+v: owner 1 holds nothing there", c)
	}
	if c, ok, _ := tab.Test(ino, by(3, Unlock, 0, EOF)); ok {
		t.Errorf("%+v: owner 3 holds nothing", c)
	}
}

// TestFlockConversion follows flock(2): "not guaranteed to be atomic: the
// existing lock is first removed, and then a new lock is established".
func TestFlockConversion(t *testing.T) {
	tab := New(Config{})
	mustSet(t, tab, ino, flock(1, Read))
	mustSet(t, tab, ino, flock(2, Read))
	if got := try(t, tab, ino, flock(1, Write)); got != posix.EAGAIN {
		t.Fatal(got)
	}
	if got := has(tab, ino, own(1), Flock); got != "" {
		t.Errorf("still holds %q after a failed conversion", got)
	}
	mustSet(t, tab, ino, flock(2, Write))
	w := mustWait(t, tab, ino, flock(3, Read))
	mustSet(t, tab, ino, flock(2, Write)) // once more: nothing is given up
	if w.ended() {
		t.Fatal("the same lock again let another in")
	}
	mustSet(t, tab, ino, flock(2, Read))
	if !w.ended() || w.err != nil {
		t.Fatal("a downgrade woke nobody")
	}
	// One that waits has given up its old lock at once.
	x := mustWait(t, tab, ino, flock(2, Write))
	mustSet(t, tab, ino, flock(3, Write))
	mustSet(t, tab, ino, flock(3, Unlock))
	if !x.ended() || has(tab, ino, own(2), Flock) != "w0-$" {
		t.Error("the conversion was not served")
	}
	sound(t, tab)
}

// TestFlockConversionFirst: who converts comes before those who waited for its
// old lock, if nobody else holds one.
func TestFlockConversionFirst(t *testing.T) {
	tab := New(Config{})
	mustSet(t, tab, ino, flock(1, Read))
	w := mustWait(t, tab, ino, flock(2, Write))
	mustSet(t, tab, ino, flock(1, Write))
	if w.ended() {
		t.Fatal("the waiter was served in between")
	}
	tab.Release(ino, own(1), Flock)
	if !w.ended() || w.err != nil {
		t.Fatal("the waiter was not served")
	}
}

// TestPosixConversion keeps the old lock while it waits, and when it fails.
func TestPosixConversion(t *testing.T) {
	tab := New(Config{})
	mustSet(t, tab, ino, by(1, Read, 0, 9))
	mustSet(t, tab, ino, by(2, Read, 5, 9))
	if got := try(t, tab, ino, by(1, Write, 0, 9)); got != posix.EAGAIN {
		t.Fatal(got)
	}
	w := mustWait(t, tab, ino, by(1, Write, 0, 9))
	if got := has(tab, ino, own(1), Posix); got != "r0-9" {
		t.Fatalf("holds %q while it waits", got)
	}
	mustSet(t, tab, ino, by(2, Unlock, 0, EOF))
	if got := has(tab, ino, own(1), Posix); !w.ended() || got != "w0-9" {
		t.Fatalf("holds %q", got)
	}
	sound(t, tab)
}

func TestRelease(t *testing.T) {
	tab := New(Config{})
	mustSet(t, tab, ino, by(1, Write, 0, 9))
	mustSet(t, tab, ino, by(1, Read, 20, 29))
	mustSet(t, tab, ino, flock(1, Write))
	mustSet(t, tab, ino+1, by(1, Write, 0, 9))
	a, b := mustWait(t, tab, ino, by(2, Write, 5, 25)), mustWait(t, tab, ino, flock(2, Write))
	tab.Release(ino, own(1), Posix)
	if !a.ended() || b.ended() {
		t.Fatal("released the wrong kind")
	}
	if got := has(tab, ino+1, own(1), Posix); got != "w0-9" {
		t.Errorf("another inode's locks: %q", got)
	}
	tab.Release(ino, own(1), Flock)
	if !b.ended() {
		t.Fatal("flock was not released")
	}
	tab.Release(ino, own(9), Posix)
	tab.Release(99, own(1), Posix)
	tab.EndSession(1)
	empty(t, tab)
}

// TestReleaseWaiting: another thread of a process may wait on; nobody is left
// of an open file description.
func TestReleaseWaiting(t *testing.T) {
	tab := New(Config{})
	mustSet(t, tab, ino, by(1, Write, 0, 9))
	mustSet(t, tab, ino, flock(1, Write))
	ofd := by(3, Write, 0, 9)
	ofd.OFD = true
	p, o, f := mustWait(t, tab, ino, by(2, Write, 0, 9)), mustWait(t, tab, ino, ofd), mustWait(t, tab, ino, flock(2, Read))
	tab.Release(ino, own(2), Posix)
	tab.Release(ino, own(2), Flock)
	tab.Release(ino, own(3), Posix)
	if p.ended() || !o.ended() || !f.ended() {
		t.Fatalf("process %v, description %v, flock %v", p.ended(), o.ended(), f.ended())
	}
	wants(t, posix.EBADF, o.err)
	wants(t, posix.EBADF, f.err)
	sound(t, tab)
}

func TestReclaim(t *testing.T) {
	tab := New(Config{PerSession: 1})
	for range 2 { // a second time is harmless
		wants(t, 0, tab.Reclaim(ino, by(1, Read, 0, 9)))
		wants(t, 0, tab.Reclaim(ino, by(1, Write, 20, 29))) // over the limit: it was held
		wants(t, 0, tab.Reclaim(ino, by(2, Read, 5, 9)))
		wants(t, 0, tab.Reclaim(ino, flock(1, Write)))
	}
	wants(t, posix.EAGAIN, tab.Reclaim(ino, by(2, Write, 0, 4)))
	wants(t, posix.EAGAIN, tab.Reclaim(ino, flock(2, Read)))
	if got := has(tab, ino, own(1), Posix) + " " + has(tab, ino, own(1), Flock); got != "r0-9 w20-29 w0-$" {
		t.Errorf("owner 1 has %q", got)
	}
	if got := has(tab, ino, own(2), Posix); got != "r5-9" {
		t.Errorf("owner 2 has %q", got)
	}
	sound(t, tab)
}

// TestHeldReclaims: what Held tells makes the same table again.
func TestHeldReclaims(t *testing.T) {
	tab, again := New(Config{}), New(Config{})
	ofd := by(3, Read, 5, 7)
	ofd.OFD, ofd.PID = true, 42
	for _, l := range []Lock{by(1, Write, 30, 39), by(1, Read, 0, 9), ofd, flock(1, Read), flock(4, Read)} {
		mustSet(t, tab, ino, l)
		mustSet(t, tab, ino+1, l)
	}
	held := tab.Held(1)
	if len(held) != 10 || tab.Held(2) != nil {
		t.Fatalf("%d held: %+v", len(held), held)
	}
	for _, h := range held {
		wants(t, 0, again.Reclaim(h.Ino, h.Lock))
	}
	got := again.Held(1)
	for i := range held {
		if got[i] != held[i] {
			t.Errorf("%+v became %+v", held[i], got[i])
		}
	}
}

func TestLimits(t *testing.T) {
	tab := New(Config{PerSession: 3, PerInode: 3})
	other := by(1, Write, 1000, 1000)
	other.Owner.Session = 2
	mustSet(t, tab, ino, by(1, Write, 0, 9))
	mustSet(t, tab, ino, by(1, Write, 20, 29))
	// The middle of a range becomes three: two more.
	if got := try(t, tab, ino, by(1, Read, 4, 5)); got != posix.ENOLCK {
		t.Fatal(got)
	}
	mustSet(t, tab, ino, by(1, Read, 0, 5))
	for _, l := range []Lock{by(1, Write, 40, 49), flock(1, Read)} {
		if got := try(t, tab, ino+1, l); got != posix.ENOLCK {
			t.Fatal("session's limit:", got)
		}
	}
	if got := try(t, tab, ino, other); got != posix.ENOLCK {
		t.Fatal("inode's limit:", got)
	}
	mustSet(t, tab, ino+1, other)
	// Nothing grows: converting, merging, setting once more.
	mustSet(t, tab, ino, by(1, Read, 0, 5))
	mustSet(t, tab, ino, by(1, Write, 0, 9))
	mustSet(t, tab, ino, by(1, Write, 10, 29))
	// Unlocking always finds room.
	for i := uint64(1); i < 29; i += 2 {
		mustSet(t, tab, ino, by(1, Unlock, i, i))
	}
	if got := tab.Stats().Locks; got != 16 {
		t.Fatalf("%d locks", got)
	}
	if _, err := tab.begin(ino+1, by(1, Write, 1000, 1000), true); posix.ErrnoOf(err) != posix.ENOLCK {
		t.Fatal("waits over the limit:", err)
	}
	sound(t, tab)
	tab.EndSession(1)
	tab.EndSession(2)
	empty(t, tab)
}
