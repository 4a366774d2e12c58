package fuse

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"

	raw "github.com/hanwen/go-fuse/v2/fuse"

	"github.com/wardfs/wardfs/client/file"
	"github.com/wardfs/wardfs/posix"
)

func entryNames(n int) []posix.Dirent {
	list := []posix.Dirent{{Name: ".", Next: 1, Attr: posix.Attr{Ino: 1}}, {Name: "..", Next: 2, Attr: posix.Attr{Ino: 1}}}
	for i := 2; i < n; i++ {
		list = append(list, posix.Dirent{Name: fmt.Sprint("name-", i), Next: posix.Cookie(i + 1), Attr: posix.Attr{Ino: posix.Ino(i + 10), Mode: posix.TypeReg}})
	}
	return list
}

// TestPack fills replies of every size around an entry's edge: each takes what
// has room and no more, and an entry without any room is an error, because an
// empty reply is the end.
func TestPack(t *testing.T) {
	entries := entryNames(5)
	need := 0
	for i, e := range entries {
		need += direntSize + (len(e.Name)+7)&^7
		for _, size := range []int{need - 1, need, need + 1} {
			out := raw.NewDirEntryList(make([]byte, size), 0)
			err := pack(entries, func(d raw.DirEntry, _ posix.Attr) bool { return out.AddDirEntry(d) })
			want := i + 1
			if size < need {
				want = i
			}
			if want == 0 {
				if !errors.Is(err, posix.EINVAL) {
					t.Errorf("%d bytes: %v, want EINVAL", size, err)
				}
				continue
			}
			got, perr := raw.ParseDirEntries(out.Bytes())
			if err != nil || perr != nil || len(got) != want {
				t.Fatalf("%d bytes: %d entries, want %d (%v, %v)", size, len(got), want, err, perr)
			}
			for j := range got {
				if got[j].Name != entries[j].Name || got[j].Off != uint64(entries[j].Next) || got[j].Ino != uint64(entries[j].Attr.Ino) {
					t.Errorf("%d bytes: entry %d is %+v", size, j, got[j])
				}
			}
		}
	}
	for _, next := range []posix.Cookie{0, math.MaxInt64 + 1} {
		err := pack([]posix.Dirent{{Name: "x", Next: next}}, func(raw.DirEntry, posix.Attr) bool { return true })
		if !errors.Is(err, posix.EOVERFLOW) {
			t.Errorf("cookie %d: %v, want EOVERFLOW", next, err)
		}
	}
}

// lister is a directory of n entries.
type lister struct {
	posix.Namespace
	n     int
	calls []posix.Cookie
}

func (l *lister) Open(context.Context, posix.Ino, posix.Handle, posix.OpenFlags) (posix.Opened, error) {
	return posix.Opened{}, nil
}

func (l *lister) Close(context.Context, posix.Handle) error { return nil }

func (l *lister) Readdir(_ context.Context, _ posix.Ino, _ posix.Handle, from posix.Cookie, max int, _ bool) ([]posix.Dirent, error) {
	l.calls = append(l.calls, from)
	all := entryNames(l.n)[from:]
	return all[:min(max, len(all))], nil
}

// TestDirBatches reads names through one batch after the other, goes back
// within one and to the beginning: only the last asks again.
func TestDirBatches(t *testing.T) {
	l := &lister{n: dirBatch + 10}
	s := newServer(Config{As: func(posix.Cred) posix.Namespace { return l }, Files: testFiles(t)})
	d := &openDir{ino: 1, caller: s.caller(0, 0, 0), ns: l}
	for _, c := range []struct {
		from  posix.Cookie
		first string
		calls int
	}{
		{0, ".", 1},
		{2, "name-2", 1},
		{dirBatch - 1, fmt.Sprint("name-", dirBatch-1), 1},
		{dirBatch, fmt.Sprint("name-", dirBatch), 2},
		{dirBatch + 5, fmt.Sprint("name-", dirBatch+5), 2},
		{dirBatch, fmt.Sprint("name-", dirBatch), 2},
		{dirBatch + 10, "", 2}, // the end was seen
		{dirBatch + 10, "", 3}, // and may have moved since
		{3, "name-3", 4},
		{0, ".", 5},
		{dirBatch + 10, "", 6},
	} {
		got, err := d.names(context.Background(), s, c.from)
		if err != nil {
			t.Fatal(err)
		}
		first := ""
		if len(got) > 0 {
			first = got[0].Name
		}
		if first != c.first || len(l.calls) != c.calls {
			t.Errorf("from %d: %q after %d calls, want %q after %d", c.from, first, len(l.calls), c.first, c.calls)
		}
	}
}

// TestReadDirPlus sees that the dots carry no node and all others do.
func TestReadDirPlus(t *testing.T) {
	l := &lister{n: 6}
	s := newServer(Config{As: func(posix.Cred) posix.Namespace { return l }, Files: testFiles(t)})
	var open raw.OpenOut
	head := raw.InHeader{NodeId: 1}
	if st := s.OpenDir(nil, &raw.OpenIn{InHeader: head}, &open); st != raw.OK {
		t.Fatal(st)
	}
	in := &raw.ReadIn{InHeader: head, Fh: open.Fh, Size: 4096}
	out := raw.NewDirEntryList(make([]byte, in.Size), 0)
	if st := s.ReadDirPlus(nil, in, out); st != raw.OK {
		t.Fatal(st)
	}
	names, nodes, err := raw.ParseDirLookupEntries(out.Bytes())
	if err != nil || len(names) != l.n {
		t.Fatalf("%d entries, want %d (%v)", len(names), l.n, err)
	}
	for i := range names {
		if dot := names[i].Name[0] == '.'; dot != (nodes[i].NodeId == 0) {
			t.Errorf("%q has node %d", names[i].Name, nodes[i].NodeId)
		}
	}
	for _, bad := range []*raw.ReadIn{
		{InHeader: head, Fh: open.Fh + 1, Size: 4096},
		{InHeader: raw.InHeader{NodeId: 2}, Fh: open.Fh, Size: 4096},
	} {
		if st := s.ReadDir(nil, bad, raw.NewDirEntryList(make([]byte, 4096), 0)); st != raw.EBADF {
			t.Errorf("handle %d of node %d: %v, want EBADF", bad.Fh, bad.NodeId, st)
		}
	}
	s.ReleaseDir(&raw.ReleaseIn{InHeader: head, Fh: open.Fh})
	if st := s.ReadDir(nil, in, out); st != raw.EBADF {
		t.Errorf("after the release: %v, want EBADF", st)
	}
}

// testFiles is a data path without data.
func testFiles(t *testing.T) *file.Files {
	f := file.New(file.Config{})
	t.Cleanup(func() { f.Shutdown(context.Background()) })
	return f
}
