package disk

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/chunk"
	"github.com/wardfs/wardfs/server/chunk/chunktest"
)

// stock is a simulated directory with a store of a few volumes, closed in
// good order, and what is in it.
func stock(t testing.TB, blocks int) (*simFS, map[chunk.BlockID][]byte) {
	t.Helper()
	fs := newSim(1)
	cfg := simConfig()
	cfg.VolumeSize = minVolume
	s, err := open(cfg, fs)
	if err != nil {
		t.Fatal(err)
	}
	have := map[chunk.BlockID][]byte{}
	for i := range blocks {
		data := chunktest.Bytes(i, 1+i*i*97%30_000)
		have[chunktest.ID(i)] = data
		if err := s.Put(ctx, chunktest.ID(i), [][]byte{data}); err != nil {
			t.Fatal(err)
		}
		if i%5 == 4 { // leave a dead record and a grave
			if err := s.Delete(ctx, chunktest.ID(i)); err != nil {
				t.Fatal(err)
			}
			delete(have, chunktest.ID(i))
		}
		if err := s.Sync(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if !s.maintain(ctx) {
		t.Fatal("maintain did not do all")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return fs, have
}

// reopen opens the store over fs; what it logs is answered too.
func reopen(t testing.TB, fs *simFS) (*Store, *bytes.Buffer, error) {
	t.Helper()
	logged := &bytes.Buffer{}
	cfg := simConfig()
	cfg.VolumeSize = minVolume
	cfg.Log = slog.New(slog.NewTextHandler(logged, nil))
	s, err := open(cfg, fs)
	return s, logged, err
}

// take counts how the blocks of have fare: whole, damaged or gone. Anything
// else, wrong bytes above all, fails.
func take(t testing.TB, s *Store, have map[chunk.BlockID][]byte) (whole, damaged, gone int) {
	t.Helper()
	for id, data := range have {
		got := make([]byte, len(data))
		switch err := s.Get(ctx, id, 0, got); {
		case err == nil && bytes.Equal(got, data):
			whole++
		case errors.Is(err, chunk.ErrCorrupt):
			damaged++
		case errors.Is(err, chunk.ErrNotFound):
			gone++
		default:
			t.Fatalf("get of %s: %v, same bytes: %v", id, err, bytes.Equal(got, data))
		}
	}
	return whole, damaged, gone
}

// TestEveryByte flips bytes all over the store, one at a time. Whatever it is
// costs one block at most, and nothing at all where it is written twice.
func TestEveryByte(t *testing.T) {
	fs, have := stock(t, 13)
	for name, f := range fs.names {
		for _, off := range places(fs, name, f, 997) {
			hurt := fs.revive(true).clone()
			flip(t, hurt, name, off)
			s, _, err := reopen(t, hurt)
			if err != nil {
				t.Fatalf("%s at %d: open: %v", name, off, err)
			}
			whole, damaged, gone := take(t, s, have)
			if whole < len(have)-1 || gone > 0 || damaged > 0 && !isVolume(name) {
				t.Fatalf("%s at %d: %d whole, %d damaged, %d gone", name, off, whole, damaged, gone)
			}
		}
	}
}

// places are offsets in a file where damage is tried: all of a small file; of a
// volume every stride bytes, and every field of all headers.
func places(fs *simFS, name string, f *simFile, stride int64) (offs []int64) {
	if len(f.cur) < 4096 {
		stride = 1
	}
	for off := int64(0); off < int64(len(f.cur)); off += stride {
		offs = append(offs, off)
	}
	var n uint32
	if !isVolume(name) {
		return offs
	}
	fmt.Sscanf(name, "vol-%d", &n)
	im, err := parseIndex(fs.names[indexName(n)].cur, storeMark(fs), n)
	if err != nil {
		panic(err)
	}
	for _, it := range im.items {
		for _, field := range []int64{0, 4, 5, 6, 8, 24, 32, 48, 52, 56, 64, 72, 76, headerSize} {
			offs = append(offs, int64(it.sector)*sectorSize+field)
		}
	}
	return offs
}

func storeMark(fs *simFS) mark {
	m, err := parseFormat(string(fs.names[formatName].cur))
	if err != nil {
		panic(err)
	}
	return m
}

func isVolume(name string) bool {
	return strings.HasPrefix(name, "vol-") && !strings.HasSuffix(name, ".idx")
}

// clone makes bytes that may be damaged without harm to the original.
func (fs *simFS) clone() *simFS {
	for _, f := range fs.names {
		f.cur, f.disk = bytes.Clone(f.cur), bytes.Clone(f.disk)
	}
	return fs
}

// TestEveryByteUnindexed does the same to volumes that have lost their index
// files, so that headers are all there is.
func TestEveryByteUnindexed(t *testing.T) {
	fs, have := stock(t, 13)
	for name, f := range fs.names {
		if !isVolume(name) {
			continue
		}
		for _, off := range places(fs, name, f, 997) {
			hurt := fs.revive(true).clone()
			for n := range hurt.names {
				if strings.HasSuffix(n, ".idx") {
					delete(hurt.names, n)
				}
			}
			flip(t, hurt, name, off)
			s, logged, err := reopen(t, hurt)
			if err != nil {
				t.Fatalf("%s at %d: open: %v", name, off, err)
			}
			whole, damaged, gone := take(t, s, have)
			if whole < len(have)-1 {
				t.Fatalf("%s at %d: %d whole, %d damaged, %d gone\n%s", name, off, whole, damaged, gone, logged)
			}
			if gone > 0 && logged.Len() == 0 {
				t.Fatalf("%s at %d: a block is gone and nothing was said", name, off)
			}
		}
	}
}

// TestLostFiles removes or empties each file in turn.
func TestLostFiles(t *testing.T) {
	fs, have := stock(t, 13)
	for name := range fs.names {
		for _, how := range []string{"removed", "empty", "cut", "half index"} {
			t.Run(name+" "+how, func(t *testing.T) {
				hurt := fs.revive(true).clone()
				f := hurt.names[name]
				switch how {
				case "removed":
					delete(hurt.names, name)
				case "empty":
					f.resize(0)
				case "cut":
					f.resize(int64(len(f.cur)) / 2)
				case "half index":
					if !isVolume(name) {
						t.Skip("a volume's test")
					}
					f.resize(int64(len(f.cur)) / 2)
					delete(hurt.names, indexName(1))
				}
				s, logged, err := reopen(t, hurt)
				if err != nil {
					t.Fatalf("open: %v", err)
				}
				in := 0 // blocks that may suffer
				if isVolume(name) {
					in = blocksIn(fs, name)
				}
				whole, damaged, gone := take(t, s, have)
				if whole < len(have)-in || gone > 0 && how != "half index" {
					t.Fatalf("%d whole, %d damaged, %d gone of %d, %d in the file\n%s", whole, damaged, gone, len(have), in, logged)
				}
				if logged.Len() == 0 && !(how == "removed" && strings.HasSuffix(name, ".idx")) {
					t.Fatal("nothing was said")
				}
				if err := s.Put(ctx, chunktest.ID(99), [][]byte{{1}}); err != nil {
					t.Fatalf("put afterwards: %v", err)
				}
				if damaged > 0 {
					mendOne(t, s, have)
					whole, damaged = whole+1, damaged-1
				}
				if err := s.Close(); err != nil {
					t.Fatalf("close: %v", err)
				}
				again, _, err := reopen(t, hurt)
				if err != nil {
					t.Fatalf("open again: %v", err)
				}
				if w, d, g := take(t, again, have); w != whole || d != damaged || g != gone {
					t.Fatalf("then %d whole, %d damaged, %d gone; now %d, %d, %d", whole, damaged, gone, w, d, g)
				}
			})
		}
	}
}

// mendOne puts a damaged block's bytes again; others are not taken.
func mendOne(t testing.TB, s *Store, have map[chunk.BlockID][]byte) {
	t.Helper()
	for id, data := range have {
		if err := s.Get(ctx, id, 0, make([]byte, len(data))); !errors.Is(err, chunk.ErrCorrupt) {
			continue
		}
		other := bytes.Clone(data)
		other[0]++
		if err := s.Put(ctx, id, [][]byte{other}); !errors.Is(err, chunk.ErrExists) {
			t.Fatalf("put of other bytes over a damaged block: %v", err)
		}
		if err := s.Put(ctx, id, [][]byte{data}); err != nil {
			t.Fatalf("put of the same bytes over a damaged block: %v", err)
		}
		if err := s.Get(ctx, id, 0, make([]byte, len(data))); err != nil {
			t.Fatalf("get of the mended block: %v", err)
		}
		return
	}
}

// blocksIn is how many records the volume's index file has.
func blocksIn(fs *simFS, name string) int {
	var n uint32
	if _, err := fmt.Sscanf(name, "vol-%d", &n); err != nil {
		return 0
	}
	f := fs.names[indexName(n)]
	return int(le.Uint32(f.cur[40:]))
}

// TestForeignVolume puts a volume of another store in the way: it is neither
// believed nor touched.
func TestForeignVolume(t *testing.T) {
	fs, have := stock(t, 10)
	other, _ := stock(t, 10)
	for _, name := range []string{volumeName(1), indexName(1)} {
		f := other.names[name]
		f.fs, f.name = fs, strings.Replace(name, "00000001", "00000077", 1)
		fs.names[f.name] = f
	}
	before := bytes.Clone(fs.names[volumeName(77)].cur)
	s, logged, err := reopen(t, fs)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(logged.String(), "not of this store") {
		t.Fatalf("nothing was said: %s", logged)
	}
	if whole, _, _ := take(t, s, have); whole != len(have) {
		t.Fatalf("%d whole of %d", whole, len(have))
	}
	if err := s.Put(ctx, chunktest.ID(99), [][]byte{{1}}); err != nil {
		t.Fatal(err)
	}
	s.maintain(ctx)
	if fs.names[volumeName(77)] == nil || !bytes.Equal(before, fs.names[volumeName(77)].cur) {
		t.Fatal("the other store's volume was changed")
	}
	if v := s.active.number; v != 78 {
		t.Fatalf("new blocks go to volume %d, want 78", v)
	}
}

// TestForgedRecord stores bytes that look like a record and damages the
// header before them: what a client wrote never becomes a block.
func TestForgedRecord(t *testing.T) {
	fs := newSim(1)
	s, err := open(simConfig(), fs)
	if err != nil {
		t.Fatal(err)
	}
	victim := chunktest.ID(7)
	const size = 8192 - headerSize - sumSize
	at := int64(sectorSize)
	for i, c := range []struct {
		mark mark
		vol  uint32
	}{
		{mark{}, 1}, // a client can know the format and the place, but not the mark
		{s.mark, 2}, // a true record that was copied from elsewhere
	} {
		data := make([]byte, 8192)
		for off := int64(sectorSize); off < 8192; off += sectorSize {
			h := header{kind: blockRecord, id: victim, size: 16, stored: 1}
			h.put(data[off:], c.mark, placeOf(c.vol, at+off))
		}
		if err := s.Put(ctx, chunktest.ID(i), [][]byte{data[8192-size:]}); err != nil {
			t.Fatal(err)
		}
		if err := s.Sync(ctx); err != nil {
			t.Fatal(err)
		}
		flip(t, fs, volumeName(1), at)
		at += recordSize(size)
	}
	put := chunktest.ID(8) // what is behind it shows that the scan got there
	if err := s.Put(ctx, put, [][]byte{{1}}); err != nil {
		t.Fatal(err)
	}
	s, err = open(simConfig(), fs.revive(true))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Get(ctx, victim, 0, make([]byte, 1)); !errors.Is(err, chunk.ErrNotFound) {
		t.Fatalf("the forged block: %v", err)
	}
	if err := s.Get(ctx, put, 0, make([]byte, 1)); err != nil {
		t.Fatalf("the block behind it: %v", err)
	}
}

func TestInUse(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	_, err = Open(Config{Dir: dir})
	if posix.ErrnoOf(err) != posix.EBUSY || !strings.Contains(err.Error(), dir) {
		t.Fatalf("second open: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, err = Open(Config{Dir: dir})
	if err != nil {
		t.Fatalf("open after close: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestNewerFormat(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	text := strings.Replace(formatText(s.mark), "version 1", "version 9", 1)
	body := text[:strings.LastIndex(text, "sum ")]
	text = fmt.Sprintf("%ssum %08x\n", body, sumOf([]byte(body)))
	if err := os.WriteFile(filepath.Join(dir, formatName), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Open(Config{Dir: dir})
	if posix.ErrnoOf(err) != posix.EOPNOTSUPP || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "version 9") {
		t.Fatalf("open of a newer format: %v", err)
	}
}

func TestModes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	s, err := Open(Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Put(ctx, chunktest.ID(1), [][]byte{{1}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if fi, _ := os.Stat(dir); fi.Mode().Perm() != 0o700 {
		t.Errorf("directory has mode %v", fi.Mode())
	}
	entries, _ := os.ReadDir(dir)
	if len(entries) != 4 { // LOCK, FORMAT, a volume, its index file
		t.Errorf("%d files: %v", len(entries), entries)
	}
	for _, e := range entries {
		if fi, _ := e.Info(); fi.Mode() != 0o600 {
			t.Errorf("%s has mode %v", e.Name(), fi.Mode())
		}
	}
}
