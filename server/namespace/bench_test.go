package namespace

import (
	"context"
	"flag"
	"fmt"
	"testing"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/engine"
	"github.com/wardfs/wardfs/server/engine/mem"
	"github.com/wardfs/wardfs/server/engine/pebble"
)

var million = flag.Bool("million", false, "benchmark directories of a million entries too")

// engines are those that a namespace is measured on.
var engines = []struct {
	name string
	open func(*testing.B) engine.Engine
}{
	{"mem", func(*testing.B) engine.Engine { return mem.New() }},
	{"pebble", func(b *testing.B) engine.Engine {
		e, err := pebble.Open(pebble.Config{Dir: b.TempDir()})
		if err != nil {
			b.Fatal(err)
		}
		return e
	}},
}

// populate makes n files in dir, many in a transaction.
func populate(b *testing.B, v View, dir posix.Ino, n int) {
	b.Helper()
	const batch = 2000
	for at := 0; at < n; at += batch {
		var inos []posix.Ino
		for range min(batch, n-at) {
			ino, err := v.t.inos.next(context.Background(), v.t)
			if err != nil {
				b.Fatal(err)
			}
			inos = append(inos, ino)
		}
		_, err := v.run(context.Background(), func(x *txn) error {
			d, err := x.inode(dir)
			if err != nil {
				return err
			}
			for i, ino := range inos {
				n, err := x.create(d, fmt.Sprint("file ", at+i), ino, posix.TypeReg|0o644, 0, inode{})
				if err != nil {
					return err
				}
				x.tx.Put(inodeKey(n.Ino), n.encode())
				x.inodes = x.inodes[:1] // the directory: the others are written
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDirectory says what an operation costs in directories of different
// sizes: it must not grow with them.
func BenchmarkDirectory(b *testing.B) {
	for _, e := range engines {
		for _, n := range []int{1000, 100_000, 1_000_000} {
			if n > 100_000 && !*million {
				continue
			}
			b.Run(fmt.Sprintf("%s/%d", e.name, n), func(b *testing.B) {
				eng := e.open(b)
				defer eng.Close()
				tr, err := Open(context.Background(), Config{Engine: eng})
				if err != nil {
					b.Fatal(err)
				}
				benchDirectory(b, tr.As(super).In(1), n)
			})
		}
	}
}

func benchDirectory(b *testing.B, v View, n int) {
	ctx := context.Background()
	d, err := v.Mkdir(ctx, 1, "d", 0o755, 0)
	if err != nil {
		b.Fatal(err)
	}
	populate(b, v, d.Ino, n)
	made := 0
	b.Run("create", func(b *testing.B) {
		for b.Loop() {
			made++
			if _, err := v.Mknod(ctx, d.Ino, fmt.Sprint("new ", made), 0o644, 0, 0); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("lookup", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if _, err := v.Lookup(ctx, d.Ino, fmt.Sprint("file ", i%n)); err != nil {
				b.Fatal(err)
			}
		}
	})
	for _, plus := range []bool{false, true} {
		b.Run(fmt.Sprintf("readdir256-plus=%v", plus), func(b *testing.B) {
			from := posix.Cookie(0)
			for b.Loop() {
				ents, err := v.Readdir(ctx, d.Ino, 0, from, 256, plus)
				if err != nil {
					b.Fatal(err)
				}
				if from = 0; len(ents) > 0 {
					from = ents[len(ents)-1].Next
				}
			}
		})
	}
	b.Run("rmdir-refused", func(b *testing.B) {
		for b.Loop() {
			if err := v.Rmdir(ctx, 1, "d"); posix.ErrnoOf(err) != posix.ENOTEMPTY {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkNames says what giving, changing and taking names costs, with the
// records that tell where an inode is named.
func BenchmarkNames(b *testing.B) {
	for _, e := range engines {
		b.Run(e.name, func(b *testing.B) {
			eng := e.open(b)
			defer eng.Close()
			tr, err := Open(context.Background(), Config{Engine: eng})
			if err != nil {
				b.Fatal(err)
			}
			benchNames(b, tr.As(super).In(1))
		})
	}
}

func benchNames(b *testing.B, v View) {
	ctx := context.Background()
	var dirs [2]posix.Ino
	for i := range dirs {
		d, err := v.Mkdir(ctx, 1, fmt.Sprint("d", i), 0o755, 0)
		if err != nil {
			b.Fatal(err)
		}
		dirs[i] = d.Ino
	}
	try := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	made, renamed, gone := 0, 0, 0
	b.Run("create", func(b *testing.B) {
		for b.Loop() {
			made++
			_, err := v.Mknod(ctx, dirs[0], fmt.Sprint("f", made), 0o644, 0, 0)
			try(err)
		}
	})
	b.Run("rename", func(b *testing.B) {
		for b.Loop() {
			i := renamed % made
			from := renamed / made % 2
			renamed++
			try(v.Rename(ctx, dirs[from], fmt.Sprint("f", i+1), dirs[1-from], fmt.Sprint("f", i+1), 0))
		}
	})
	b.Run("unlink", func(b *testing.B) {
		b.StopTimer()
		for i := range b.N {
			_, err := v.Mknod(ctx, 1, fmt.Sprint("g", gone+i), 0o644, 0, 0)
			try(err)
		}
		b.StartTimer()
		for range b.N {
			try(v.Unlink(ctx, 1, fmt.Sprint("g", gone)))
			gone++
		}
	})
}

// BenchmarkQuota says what quotas cost the two transactions that they concern:
// nothing is set, one on the directory, and one on the owner besides.
func BenchmarkQuota(b *testing.B) {
	for _, set := range []struct {
		name   string
		quotas []QuotaID
	}{{"none", nil}, {"directory", []QuotaID{dirQuota(2)}}, {"directory and user", []QuotaID{dirQuota(2), userQuota(1000)}}} {
		fresh := func(b *testing.B) View {
			t, err := Open(b.Context(), Config{Engine: mem.New()})
			if err != nil {
				b.Fatal(err)
			}
			v := t.As(joe).In(1)
			a, err := t.As(super).Mkdir(b.Context(), posix.RootIno, "d", 0o777, 0)
			if err != nil || a.Ino != 2 {
				b.Fatal(a.Ino, err)
			}
			for _, q := range set.quotas {
				if err := t.SetQuota(b.Context(), q, Usage{Bytes: 1 << 50, Inodes: 1 << 40}); err != nil {
					b.Fatal(err)
				}
			}
			for did := 1; did > 0; {
				if did, err = t.Count(b.Context(), countAtOnce); err != nil {
					b.Fatal(err)
				}
			}
			return v
		}
		b.Run("create/"+set.name, func(b *testing.B) {
			v := fresh(b)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, err := v.Mknod(b.Context(), 2, fmt.Sprint(i), 0o644, 0, 0); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("commit/"+set.name, func(b *testing.B) {
			v := fresh(b)
			o, err := v.Create(b.Context(), 2, "f", 0o644, 0, 1, posix.OpenWrite)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				s := posix.Slice{File: o.Attr.Ino, ID: sliceID(i), Len: 4096}
				c := posix.Commit{Extents: []posix.Extent{{Off: uint64(i%1024) * 4096, Len: 4096, Slice: s}}}
				if _, err := v.Commit(b.Context(), 1, c); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
