package file

import (
	"context"
	"testing"

	"github.com/wardfs/wardfs/posix"
)

// TestSeekFarApart: the ends of a file of 100 GiB are found by few questions,
// whether they are buffered or stored, and the buffered ones without a flush.
func TestSeekFarApart(t *testing.T) {
	r := newRig(t, Config{})
	const far = 100 << 30
	h := r.create("f", readWrite)
	r.write(h, []byte("begin"), 0)
	r.write(h, []byte("end"), far)
	for _, state := range []string{"buffered", "half", "committed", "seen by a stranger"} {
		calls, f := r.tree.count("layout"), h
		if state == "seen by a stranger" {
			other := r.other()
			defer other.Shutdown(context.Background())
			var err error
			if f, _, err = other.Open(t.Context(), r.tree, h.Ino(), posix.OpenWrite); err != nil {
				t.Fatal(err)
			}
			defer f.Close(context.Background())
		}
		for _, c := range []struct {
			want  uint64
			errno posix.Errno
			off   uint64
			data  bool
		}{
			{0, 0, 0, true}, {5, 0, 0, false}, {far, 0, 5, true}, {far, 0, far - 1, true}, {far - 1, 0, far - 1, false},
			{far + 3, 0, far, false}, {far + 2, 0, far + 2, true},
			{0, posix.ENXIO, far + 3, true}, {0, posix.ENXIO, far + 3, false}, {0, posix.ENXIO, far << 10, true},
		} {
			if got, err := f.Seek(t.Context(), c.off, c.data); got != c.want || posix.ErrnoOf(err) != c.errno {
				t.Errorf("%s, from %d, data %t: %d, %v; want %d", state, c.off, c.data, got, err, c.want)
			}
		}
		if n := r.tree.count("layout") - calls; n > 3 {
			t.Errorf("%s: %d questions for the layout", state, n)
		}
		switch commits := r.tree.count("commit"); {
		case state == "buffered" && commits != 0:
			t.Error("a seek has committed")
		case state == "buffered":
			wantErrno(t, 0, h.Sync(t.Context()))
			r.write(h, []byte("END"), far)
		case state == "half":
			wantErrno(t, 0, h.Sync(t.Context()))
		}
	}
	r.close(h)
}

// TestSeekBroken: a file in more pieces than are kept is sought through from
// one end to the other.
func TestSeekBroken(t *testing.T) {
	r := newRig(t, Config{})
	h := r.create("f", readWrite)
	const pieces = 2000
	for n := range uint64(pieces) {
		r.write(h, []byte("x"), 2*n)
	}
	r.close(h)
	h = r.open(h.Ino(), posix.OpenRead)
	for n := range uint64(pieces - 1) {
		if at, err := h.Seek(t.Context(), 2*n, false); at != 2*n+1 || err != nil {
			t.Fatal(n, at, err)
		}
		if at, err := h.Seek(t.Context(), 2*n+1, true); at != 2*n+2 || err != nil {
			t.Fatal(n, at, err)
		}
	}
	if n := r.tree.count("layout"); n > pieces/50+2 {
		t.Errorf("%d questions", n)
	}
	r.close(h)
}
