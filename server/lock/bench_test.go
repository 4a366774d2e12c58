package lock

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/wardfs/wardfs/posix"
)

// BenchmarkSet locks and unlocks a whole file that nobody else locks.
func BenchmarkSet(b *testing.B) {
	for _, kind := range []Kind{Posix, Flock} {
		b.Run(kind.String(), func(b *testing.B) {
			b.ReportAllocs()
			tab, ctx := New(Config{}), context.Background()
			l := Lock{Kind: kind, Type: Write, End: EOF, Owner: own(1)}
			for i := range b.N {
				l.Type = Write
				tab.Set(ctx, posix.Ino(i), l, true)
				l.Type = Unlock
				tab.Set(ctx, posix.Ino(i), l, true)
			}
		})
	}
}

// BenchmarkParallel is the same from many goroutines, each on its own inodes.
func BenchmarkParallel(b *testing.B) {
	tab, ctx := New(Config{}), context.Background()
	var id atomic.Uint64
	b.RunParallel(func(pb *testing.PB) {
		n := id.Add(1)
		l := Lock{End: EOF, Owner: Owner{n, 1}}
		for pb.Next() {
			l.Type = Write
			tab.Set(ctx, posix.Ino(n), l, true)
			l.Type = Unlock
			tab.Set(ctx, posix.Ino(n), l, true)
		}
	})
}

// BenchmarkRanges locks and unlocks a byte among n ranges of one owner.
func BenchmarkRanges(b *testing.B) {
	for _, n := range []uint64{10, 1000, 50_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			tab, ctx := New(Config{}), context.Background()
			for i := range n {
				tab.Set(ctx, ino, by(1, Write, 4*i, 4*i), false)
			}
			b.ResetTimer()
			for i := range uint64(b.N) {
				at := 4*(i*7919%n) + 2
				tab.Set(ctx, ino, by(1, Write, at, at), false)
				tab.Set(ctx, ino, by(1, Unlock, at, at), false)
			}
		})
	}
}

// BenchmarkOwners locks and unlocks a byte while n owners have one each.
func BenchmarkOwners(b *testing.B) {
	for _, n := range []uint64{10, 1000, 50_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			tab, ctx := New(Config{}), context.Background()
			for i := range n {
				tab.Set(ctx, ino, by(i, Write, i, i), false)
			}
			b.ResetTimer()
			for range b.N {
				tab.Set(ctx, ino, by(n, Write, n, n), false)
				tab.Set(ctx, ino, by(n, Unlock, n, n), false)
			}
		})
	}
}

// BenchmarkHerd hands one lock round among n who wait for it.
func BenchmarkHerd(b *testing.B) {
	for _, n := range []uint64{10, 1000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			tab := New(Config{})
			for i := range n {
				tab.begin(ino, by(i, Write, 0, EOF), true)
			}
			b.ResetTimer()
			for i := range uint64(b.N) {
				tab.Release(ino, own(i%n), Posix)
				tab.begin(ino, by(i%n, Write, 0, EOF), true)
			}
			if s := tab.Stats(); s.Locks != 1 || s.Waiters != int(n)-1 {
				b.Fatal(s)
			}
		})
	}
}

// BenchmarkWideRelease ends a lock of a whole file for which n wait who then
// all have room: readers of all of it, or writers of a byte each.
func BenchmarkWideRelease(b *testing.B) {
	for _, n := range []uint64{1000, 10_000} {
		for name, ask := range map[string]func(uint64) Lock{
			"readers": func(i uint64) Lock { return by(i, Read, 0, EOF) },
			"writers": func(i uint64) Lock { return by(i, Write, i, i) },
		} {
			b.Run(fmt.Sprint(name, n), func(b *testing.B) {
				for range b.N {
					b.StopTimer()
					tab := New(Config{})
					tab.begin(ino, by(n, Write, 0, EOF), true)
					for i := range n {
						tab.begin(ino, ask(i), true)
					}
					b.StartTimer()
					tab.Release(ino, own(n), Posix)
					if s := tab.Stats(); s.Locks != int(n) {
						b.Fatal(s)
					}
				}
			})
		}
	}
}
