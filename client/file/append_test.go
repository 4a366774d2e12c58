package file

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/wardfs/wardfs/posix"
)

// TestAppendTwo: two clients append to one file, each by several writers that
// flush now and then. No record is lost, none is torn, and each writer's are in
// its order, also where the file crosses the border of a chunk.
func TestAppendTwo(t *testing.T) {
	const writers, records = 3, 60
	for _, c := range []struct {
		name   string
		before uint64 // bytes in the file at the beginning
		most   int    // bytes of a record
		zoned  bool
		inline int // Config.Inline
	}{
		{"small", 0, 300, false, 0},
		{"small, inline", 0, 300, false, posix.InlineMax},
		{"chunks", posix.ChunkSize - 200<<10, 20 << 10, false, 0},
		{"zoned", posix.ChunkSize - 200<<10, 20 << 10, true, 0},
		{"zoned, inline", posix.ChunkSize - 200<<10, 20 << 10, true, posix.InlineMax},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, Config{Memory: minMemory, Inline: func() int { return c.inline }})
			if c.zoned {
				r.Files.codec, r.tree.zoned = tagged{}, true
			}
			ino := r.create("f", readWrite).Ino()
			if _, err := r.tree.Setattr(t.Context(), ino, posix.SetAttr{Set: posix.SetSize, Size: c.before}); err != nil {
				t.Fatal(err)
			}
			clients := []*Files{r.Files, r.other()}
			defer clients[1].Shutdown(context.Background())
			var work sync.WaitGroup
			for k := range 2 * writers {
				work.Go(func() { appendRecords(t, clients[k%2], r.tree, ino, k, records, c.most) })
			}
			work.Wait()
			fresh := r.other()
			defer fresh.Shutdown(context.Background())
			readRecords(t, fresh, r.tree, ino, c.before, 2*writers, records)
		})
	}
}

// appendRecords appends "k n xxx...\n" for each n.
func appendRecords(t *testing.T, f *Files, ns posix.Namespace, ino posix.Ino, k, records, most int) {
	rnd := rand.New(rand.NewPCG(uint64(k), 1))
	h, _, err := f.Open(t.Context(), ns, ino, posix.OpenWrite)
	if err != nil {
		t.Error(err)
		return
	}
	for n := range records {
		record := fmt.Sprintf("%d %d %s\n", k, n, strings.Repeat("x", rnd.IntN(most)))
		if got, _, err := h.Append(t.Context(), []byte(record)); got != len(record) || err != nil {
			t.Errorf("append: %d of %d, %v", got, len(record), err)
		}
		if rnd.IntN(5) == 0 {
			if err := h.Sync(t.Context()); err != nil {
				t.Error(err)
			}
		}
	}
	if err := h.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func readRecords(t *testing.T, f *Files, ns posix.Namespace, ino posix.Ino, from uint64, writers, records int) {
	t.Helper()
	h, a, err := f.Open(t.Context(), ns, ino, posix.OpenRead)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close(t.Context())
	b := make([]byte, a.Size-from)
	if n, err := h.Read(t.Context(), b, from); n != len(b) || err != nil {
		t.Fatalf("read: %d of %d, %v", n, len(b), err)
	}
	next := make([]int, writers)
	for line := range bytes.Lines(b) {
		var k, n int
		var x string
		if _, err := fmt.Sscanf(string(line), "%d %d", &k, &n); err != nil || k >= writers || next[k] != n {
			t.Fatalf("after %v: torn or lost: %.40q %v", next, line, err)
		}
		if x = string(line[bytes.LastIndexByte(line, ' ')+1:]); strings.Trim(x, "x") != "\n" {
			t.Fatalf("a record is torn: %.40q", line)
		}
		next[k]++
	}
	if i := slices.IndexFunc(next, func(n int) bool { return n != records }); i >= 0 {
		t.Fatalf("records of each writer: %v, want %d", next, records)
	}
}

// TestAppendAlone: while nobody else writes, appends are buffered like every
// write, and committed in one piece.
func TestAppendAlone(t *testing.T) {
	r := newRig(t, Config{})
	h := r.create("f", readWrite)
	for k := range uint64(100) {
		if _, off, err := h.Append(t.Context(), []byte("0123456789")); off != 10*k || err != nil {
			t.Fatal(off, err)
		}
	}
	if n := r.tree.count("commit"); n != 0 {
		t.Errorf("%d commits before the close", n)
	}
	r.close(h)
	if n := r.tree.count("commit"); n != 1 {
		t.Errorf("%d commits", n)
	}
}

// TestAppendMoved: what was appended here while another client made the file
// longer is found behind that, the kernel is told, and from then on each append
// has its place when it returns.
func TestAppendMoved(t *testing.T) {
	var told []posix.Ino
	r := newRig(t, Config{Moved: func(ino posix.Ino) { told = append(told, ino) }})
	h := r.create("f", readWrite)
	r.write(h, []byte("head"), 0)
	if _, off, err := h.Append(t.Context(), []byte("mine")); off != 4 || err != nil {
		t.Fatal(off, err)
	}
	other := r.other()
	defer other.Shutdown(context.Background())
	theirs, _, err := other.Open(t.Context(), r.tree, h.Ino(), posix.OpenWrite)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := theirs.Append(t.Context(), []byte("theirs")); err != nil {
		t.Fatal(err)
	}
	if err := theirs.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	// They appended to the empty file, for "head" was not committed.
	if err := h.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.reads(h, []byte("headrsmine"), 0)
	if len(told) != 1 || told[0] != h.Ino() {
		t.Errorf("told of %v", told)
	}
	if _, off, err := h.Append(t.Context(), []byte("!")); off != 10 || err != nil {
		t.Fatal(off, err)
	}
	if a, _ := r.tree.Getattr(t.Context(), h.Ino()); a.Size != 11 {
		t.Errorf("the size is %d when the append has returned", a.Size)
	}
	r.close(h)
}
