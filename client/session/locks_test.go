package session

import (
	"math/rand/v2"
	"testing"

	"github.com/wardfs/wardfs/posix"
)

const span = 32

// bytes is what each byte of a file's beginning has; the last stands for all
// behind it.
type bytes [span + 1]posix.LockType

// drawn is what spans say, and fails if they are out of order.
func drawn(t *testing.T, s lockSpans) (b bytes) {
	t.Helper()
	next := uint64(0)
	for _, x := range s {
		if x.Start < next || x.End < x.Start {
			t.Fatalf("out of order: %v", s)
		}
		next = x.End + 1
		for i := x.Start; i <= min(x.End, span); i++ {
			b[i] = x.Type
		}
	}
	return b
}

// play lays locks that script tells, three bytes each, and asks for the parts
// within as many ranges.
func play(t *testing.T, script []byte) {
	var s lockSpans
	var want bytes
	for ; len(script) >= 3; script = script[3:] {
		l := posix.Lock{Type: posix.LockType(1 + script[0]%3), Start: uint64(script[1] % span), End: uint64(script[2])}
		if l.End >= span {
			l.End = 1<<64 - 1 // the end of the file, as some clients say it
		}
		if l.End < l.Start {
			continue
		}
		if script[0]&128 != 0 {
			// What within says makes any owner's locks the same in the range.
			var other lockSpans
			for _, x := range s.within(l) {
				if x.Start < l.Start || x.End > min(l.End, posix.FileSizeMax) {
					t.Fatalf("within [%d, %d]: %v", l.Start, l.End, s.within(l))
				}
				other = other.lay(posix.Lock{Type: posix.LockWrite, Start: x.Start, End: x.End}).lay(x)
			}
			got := drawn(t, other)
			for i := l.Start; i <= min(l.End, span); i++ {
				if w := want[i]; got[i] != w {
					t.Fatalf("byte %d within [%d, %d] has %d, want %d", i, l.Start, l.End, got[i], w)
				}
			}
			continue
		}
		s = s.lay(l)
		for i := l.Start; i <= min(l.End, span); i++ {
			if want[i] = l.Type; l.Type == posix.LockUnlock {
				want[i] = 0
			}
		}
		if got := drawn(t, s); got != want {
			t.Fatalf("after %+v:\n got %v\nwant %v\nfrom %v", l, got, want, s)
		}
	}
}

func TestLockSpans(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		script := make([]byte, 120)
		for i := range script {
			script[i] = byte(rng.Uint32())
		}
		play(t, script)
	}
}

func FuzzLockSpans(f *testing.F) {
	f.Add([]byte{1, 0, 255, 0, 5, 9, 2, 7, 7, 128, 0, 255})
	f.Fuzz(func(t *testing.T, script []byte) { play(t, script) })
}

func TestLocksTable(t *testing.T) {
	held := locks{}
	fl := posix.Lock{Kind: posix.LockFlock, Type: posix.LockRead, Owner: 7, Start: 5, End: 9}
	pl := posix.Lock{Type: posix.LockWrite, Owner: 7, End: 9}
	held.set(1, fl)
	held.set(1, pl)
	held.set(2, pl)
	if len(held) != 3 || held[keyOf(1, fl)][0].End != posix.FileSizeMax {
		t.Fatalf("%v", held)
	}
	// A refused lock of fcntl leaves what was; so does flock's own again.
	held.refused(1, pl, posix.EAGAIN)
	held.refused(1, fl, posix.EAGAIN)
	ex := fl
	ex.Type = posix.LockWrite
	held.refused(1, ex, posix.EBADF)
	if len(held) != 3 {
		t.Errorf("%v", held)
	}
	held.refused(1, ex, posix.EINTR) // a conversion
	if len(held) != 2 {
		t.Errorf("%v", held)
	}
	held.closed(1)
	if len(held) != 1 || held[keyOf(2, pl)] == nil {
		t.Errorf("%v", held)
	}
	pl.Type = posix.LockUnlock
	held.set(2, pl)
	if len(held) != 0 {
		t.Errorf("%v", held)
	}
}
