package fuse

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	raw "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

func TestListings(t *testing.T) {
	now := time.Unix(1e9, 0)
	l := listings{period: time.Minute, now: func() time.Time { return now }}
	const fill, keep = raw.FOPEN_CACHE_DIR, raw.FOPEN_CACHE_DIR | raw.FOPEN_KEEP_CACHE
	open := func(what string, fh, change uint64, want uint32) {
		t.Helper()
		if got := l.open(7, fh, change); got != want {
			t.Errorf("%s: flags %#x, want %#x", what, got, want)
		}
	}
	open("the first", 1, 10, fill)
	open("one beside it", 2, 10, 0)
	l.release(7, 2)
	open("another beside it", 3, 10, 0)
	l.release(7, 1)
	open("nothing has changed", 4, 10, keep)
	l.release(7, 4)
	open("something has", 5, 11, fill)
	l.release(7, 5)
	now = now.Add(time.Minute)
	open("long ago", 6, 11, fill)
	l.release(7, 6)
	open("just now", 7, 11, keep)
	l.release(7, 7)
	if n := l.notices(); len(n) != 1 || n[0] != (notice{ino: 7}) {
		t.Errorf("to forget all: %+v", n)
	}
	open("all was forgotten", 8, 11, fill)
	l.release(7, 8)
	l.forget(7)
	open("the kernel has dropped it", 9, 11, fill)
	l.release(7, 9)
	open("of which no change is known", 10, 0, 0)
	l.period = 0
	open("nothing is to be believed", 11, 11, 0)
}

func listed(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// TestListingsTrue lists a directory that two mounts change, which are told
// nothing of each other: who opens it sees what is there, and so does who goes
// back to the beginning after a change of his own.
func TestListingsTrue(t *testing.T) {
	const hour = 3600e9
	w := mount(t, Options{AttrTimeout: hour, EntryTimeout: hour})
	other := mountOf(t, w.tree, w.blocks, 2, Options{AttrTimeout: -1, EntryTimeout: -1})
	must(t, os.Mkdir(w.path("d"), 0o777))
	held, err := os.Open(w.path("d"))
	must(t, err)
	defer func() { held.Close() }()
	rng := rand.New(rand.NewPCG(1, 2))
	want := []string{}
	for i := range 400 {
		at, mine := other, rng.IntN(2) == 0
		if mine {
			at = w
		}
		name := fmt.Sprint("name-", i) // never again: the first mount would believe what it was
		if k := rng.IntN(len(want) + 100); k >= len(want) {
			must(t, unix.Mknod(at.path("d", name), unix.S_IFIFO|0o666, 0))
			want = append(want, name)
			slices.Sort(want)
		} else {
			must(t, os.Remove(at.path("d", want[k])))
			want = slices.Delete(want, k, k+1)
		}
		for range rng.IntN(3) {
			if got := listed(t, w.path("d")); !slices.Equal(got, want) {
				t.Fatalf("round %d: %q, want %q", i, got, want)
			}
		}
		if !mine {
			continue
		}
		_, err := held.Seek(0, 0)
		must(t, err)
		got, err := held.Readdirnames(-1)
		must(t, err)
		if !slices.Contains(got, name) && slices.Contains(want, name) {
			t.Fatalf("round %d: %q after going back to the beginning, without %s", i, got, name)
		}
		if rng.IntN(4) == 0 { // so that others hold the cache, too
			must(t, held.Close())
			held, err = os.Open(w.path("d"))
			must(t, err)
		}
	}
}
