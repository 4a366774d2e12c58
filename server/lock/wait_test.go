package lock

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/wardfs/wardfs/posix"
)

// ended answers which of ws have ended, by index.
func ended(ws []*waiter) (is []int) {
	for i, w := range ws {
		if w.ended() {
			is = append(is, i)
		}
	}
	return is
}

// TestOrder serves who waits for the same in the order of arrival, each once.
func TestOrder(t *testing.T) {
	tab := New(Config{})
	mustSet(t, tab, ino, by(100, Write, 0, 9))
	var ws []*waiter
	for i := range uint64(20) {
		ws = append(ws, mustWait(t, tab, ino, by(i, Write, i%10, 9)))
	}
	tab.Release(ino, own(100), Posix)
	for i := range ws {
		if got := ended(ws); len(got) != i+1 || got[i] != i {
			t.Fatalf("served: %v, want the first %d", got, i+1)
		}
		// Who has just had it comes last, even if it asks at once.
		tab.Release(ino, own(uint64(i)), Posix)
		if i < len(ws)-1 && try(t, tab, ino, by(uint64(i), Write, 9, 9)) != posix.EAGAIN {
			t.Fatal("overtook those who wait")
		}
	}
	empty(t, tab)
}

// TestShrinking wakes just those for whom there is room now.
func TestShrinking(t *testing.T) {
	tests := []struct {
		name   string
		want   []int
		change Lock
	}{
		{"nothing", nil, by(1, Write, 0, 99)},
		{"the head", []int{0}, by(1, Unlock, 0, 9)},
		{"the middle", []int{1}, by(1, Unlock, 50, 59)},
		{"a part that is too small", nil, by(1, Unlock, 51, 58)},
		{"a downgrade", []int{2, 3}, by(1, Read, 0, 99)},
		{"a downgrade of a part", []int{2}, by(1, Read, 0, 30)},
		{"all", []int{0, 1, 2, 3}, by(1, Unlock, 0, EOF)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tab := New(Config{})
			mustSet(t, tab, ino, by(1, Write, 0, 99))
			ws := []*waiter{
				mustWait(t, tab, ino, by(2, Write, 0, 9)),
				mustWait(t, tab, ino, by(3, Write, 50, 59)),
				mustWait(t, tab, ino, by(4, Read, 20, 29)),
				mustWait(t, tab, ino, by(5, Read, 20, 49)),
			}
			mustSet(t, tab, ino, tt.change)
			if got := ended(ws); len(got) != len(tt.want) || len(got) > 0 && got[0] != tt.want[0] {
				t.Errorf("served %v, want %v", got, tt.want)
			}
			sound(t, tab)
		})
	}
}

// TestGrantWakes: a lock that is granted may itself make room, and the one who
// has waited longest for it is served first.
func TestGrantWakes(t *testing.T) {
	tab := New(Config{})
	mustSet(t, tab, ino, by(1, Write, 0, 9))
	mustSet(t, tab, ino, by(2, Write, 10, 19))
	early := mustWait(t, tab, ino, by(3, Read, 0, 9))
	down := mustWait(t, tab, ino, by(1, Read, 0, 19)) // downgrades 0-9 once 10-19 is free
	late := mustWait(t, tab, ino, by(4, Write, 10, 19))
	tab.Release(ino, own(2), Posix)
	if !down.ended() || !early.ended() || late.ended() {
		t.Fatalf("down %v, early %v, late %v", down.ended(), early.ended(), late.ended())
	}
	sound(t, tab)
}

// TestReadersOvertake is what Linux does: a waiting writer keeps no reader out.
func TestReadersOvertake(t *testing.T) {
	tab := New(Config{})
	mustSet(t, tab, ino, by(1, Read, 0, 9))
	w := mustWait(t, tab, ino, by(2, Write, 0, 9))
	mustSet(t, tab, ino, by(3, Read, 0, 9))
	tab.Release(ino, own(1), Posix)
	if w.ended() {
		t.Fatal("the writer was let in beside a reader")
	}
	tab.Release(ino, own(3), Posix)
	if !w.ended() {
		t.Fatal("the writer still waits")
	}
}

// TestCancel answers EINTR and leaves nothing behind but what was held before.
func TestCancel(t *testing.T) {
	for _, kind := range []Kind{Posix, Flock} {
		t.Run(kind.String(), func(t *testing.T) {
			tab := New(Config{})
			l := Lock{Kind: kind, Type: Write, End: 9}
			l.Owner = own(1)
			mustSet(t, tab, ino, l)
			l.Owner = Owner{2, 2}
			ctx, cancel := context.WithCancel(context.Background())
			answer := make(chan error)
			go func() { answer <- tab.Set(ctx, ino, l, true) }()
			waiting(t, tab, 1)
			cancel()
			wants(t, posix.EINTR, <-answer)
			if tab.Held(2) != nil {
				t.Errorf("holds %+v", tab.Held(2))
			}
			// One whose ctx has ended already does not wait either, but a lock
			// that is free is granted.
			wants(t, posix.EINTR, tab.Set(ctx, ino, l, true))
			tab.Release(ino, own(1), kind)
			empty(t, tab)
			wants(t, 0, tab.Set(ctx, ino, l, true))
			late, end := context.WithDeadline(context.Background(), time.Unix(0, 0))
			defer end()
			l.Owner = own(3)
			wants(t, posix.EINTR, tab.Set(late, ino, l, true))
			tab.EndSession(2)
			empty(t, tab)
		})
	}
}

// TestCancelTooLate: who was served has the lock, whatever becomes of its ctx.
func TestCancelTooLate(t *testing.T) {
	tab := New(Config{})
	mustSet(t, tab, ino, by(1, Write, 0, 9))
	w := mustWait(t, tab, ino, by(2, Write, 0, 9))
	tab.Release(ino, own(1), Posix)
	wants(t, 0, tab.cancel(w, posix.E("fcntl", posix.EINTR, nil)))
	if got := has(tab, ino, own(2), Posix); got != "w0-9" {
		t.Errorf("holds %q", got)
	}
}

// waiting returns once n requests wait.
func waiting(t *testing.T, tab *Table, n int) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); tab.Stats().Waiters != n; time.Sleep(time.Microsecond) {
		if time.Now().After(end) {
			t.Fatalf("%d wait, want %d", tab.Stats().Waiters, n)
		}
	}
}

// TestEndSession takes all of a session on many inodes, ends its requests and
// serves those of the others.
func TestEndSession(t *testing.T) {
	tab := New(Config{})
	var others, its []*waiter
	for i := range posix.Ino(20) {
		for o := range uint64(20) {
			mustSet(t, tab, i, Lock{Type: Write, Start: o, End: o, Owner: Owner{7, o}})
		}
		mustSet(t, tab, i, Lock{Kind: Flock, Type: Read, Owner: Owner{7, 1}})
		mustSet(t, tab, i, by(1, Write, 100, 100))
		its = append(its, mustWait(t, tab, i, Lock{Type: Read, Start: 100, End: 100, Owner: Owner{7, 99}}))
		others = append(others, mustWait(t, tab, i, by(2, Write, 0, 50)), mustWait(t, tab, i, flock(2, Write)))
	}
	tab.EndSession(7)
	sound(t, tab)
	for _, w := range its {
		if !w.ended() {
			t.Fatal("a request of the session still waits")
		}
		wants(t, posix.ESTALE, w.err)
	}
	for _, w := range others {
		if !w.ended() || w.err != nil {
			t.Fatalf("%+v was not served: %v", w.lock, w.err)
		}
	}
	if tab.Held(7) != nil {
		t.Error("the session still holds something")
	}
	tab.EndSession(7)
	tab.EndSession(1)
	empty(t, tab)
}

// TestGrantOverLimit: who waited and is over the limit by then gets ENOLCK.
func TestGrantOverLimit(t *testing.T) {
	tab := New(Config{PerInode: 4})
	mustSet(t, tab, ino, by(2, Write, 0, 9))
	mustSet(t, tab, ino, by(1, Write, 20, 20))
	w := mustWait(t, tab, ino, by(2, Read, 2, 20)) // 0-1 and 2-20: one more
	mustSet(t, tab, ino, by(1, Write, 30, 30))
	mustSet(t, tab, ino, by(1, Unlock, 20, 20))
	if !w.ended() || w.err != nil {
		t.Fatal("within the limit:", w.err)
	}
	x := mustWait(t, tab, ino, by(2, Read, 25, 30))
	mustSet(t, tab, ino, by(1, Write, 30, 35))
	mustSet(t, tab, ino, by(1, Unlock, 31, 31))
	mustSet(t, tab, ino, by(1, Unlock, 33, 33)) // five by now: beyond the limit
	mustSet(t, tab, ino, by(1, Unlock, 30, 30))
	if !x.ended() {
		t.Fatal("still waits")
	}
	wants(t, posix.ENOLCK, x.err)
	sound(t, tab)
}

// TestRace has many owners guard counters with the locks, cancel at random and
// end; the race detector watches the counters.
func TestRace(t *testing.T) {
	const workers, rounds, files = 64, 150, 4
	tab := New(Config{})
	var count, want [files]int
	var mu sync.Mutex // of want alone
	var wg sync.WaitGroup
	for id := range uint64(workers) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			rnd := rand.New(rand.NewPCG(id, 2))
			o := Owner{id % 8, id}
			for range rounds {
				f := rnd.IntN(files)
				l := Lock{Kind: Kind(f % 2), Type: Write, Start: rnd.Uint64N(5), End: 5 + rnd.Uint64N(5), Owner: o}
				ctx, cancel := context.WithCancel(context.Background())
				if rnd.IntN(4) == 0 {
					go cancel()
				}
				err := tab.Set(ctx, posix.Ino(f), l, true)
				cancel()
				if err != nil {
					if posix.ErrnoOf(err) != posix.EINTR {
						t.Error(err)
					}
					continue
				}
				count[f]++ // every range has byte 5
				mu.Lock()
				want[f]++
				mu.Unlock()
				if rnd.IntN(2) == 0 {
					tab.Release(posix.Ino(f), o, l.Kind)
				} else if err := tab.Set(context.Background(), posix.Ino(f), unlocked(l), false); err != nil {
					t.Error(err)
				}
			}
		}()
	}
	wg.Wait()
	if count != want {
		t.Errorf("counted %v, want %v", count, want)
	}
	empty(t, tab)
}
