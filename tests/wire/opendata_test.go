package wire

import (
	"bytes"
	"testing"

	"github.com/wardfs/wardfs/posix"
)

// The bytes of a small file come with the answer to whoever was let open it to
// read, and with no other; the data path then asks for no block.
func TestOpenBringsBytes(t *testing.T) {
	h := newHouse(t)
	m := h.connect()
	data := bytes.Repeat([]byte("small "), 1000)
	small, big := made(t, m, "small", data), made(t, m, "big", make([]byte, posix.InlineMax+1))
	stranger := posix.Cred{UID: 4711, GID: 4711}
	for i, c := range []struct {
		name  string
		as    posix.Cred
		ino   posix.Ino
		flags posix.OpenFlags
		want  []byte
		errno posix.Errno
	}{
		{"asked for", root, small, posix.OpenRead | posix.OpenData, data, 0},
		{"not asked for", root, small, posix.OpenRead, nil, 0},
		{"to write", root, small, posix.OpenWrite | posix.OpenData, nil, 0},
		{"too much", root, big, posix.OpenRead | posix.OpenData, nil, 0},
		{"not let in", stranger, small, posix.OpenRead | posix.OpenData, nil, posix.EACCES},
	} {
		o, err := m.As(c.as).Open(t.Context(), c.ino, posix.Handle(1)<<40+posix.Handle(i), c.flags)
		var got []byte
		for _, b := range o.Blocks {
			got = append(got, b.Data...)
		}
		if posix.ErrnoOf(err) != c.errno && (err != nil || c.errno != 0) || !bytes.Equal(got, c.want) {
			t.Errorf("%s: %d bytes and %v, want %d and %v", c.name, len(got), err, len(c.want), c.errno)
		}
	}
	fresh := h.connect()
	f, _, err := fresh.Files().Open(t.Context(), fresh.As(root), small, posix.OpenRead)
	must(t, err)
	defer f.Close(t.Context())
	same(t, "by another mount", f, data)
	if n := fresh.Status().Files.Fetches; n != 0 {
		t.Errorf("%d blocks were asked for, though they had come with the open", n)
	}
}
