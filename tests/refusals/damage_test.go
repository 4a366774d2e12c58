package refusals

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/wardfs/wardfs/tests/harness"
)

// The exit code of damage in docs/cli.md.
const damaged = 8

// stored is a data folder that was ended well, with a small file and one of
// two blocks.
func stored(t *testing.T) (w *harness.Ward, big []byte) {
	t.Helper()
	w = harness.Start(t)
	big = bytes.Repeat([]byte("0123456789abcde\n"), 6<<16) // 6 MiB
	for name, data := range map[string][]byte{"big": big, "other": big[:1<<20]} {
		if err := os.WriteFile(filepath.Join(w.Mount(), name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	w.Down(t)
	w.Up(t) // what the log holds becomes a table
	w.Down(t)
	return w, big
}

// flip changes a byte of the file that comes after the first occurrence of
// mark, or in the middle where mark is nil.
func flip(t *testing.T, path string, mark []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := len(b) / 2
	if mark != nil {
		if at = bytes.Index(b, mark); at < 0 {
			t.Fatalf("%s: the bytes are not there", path)
		}
	}
	b[at] ^= 0x40
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestDamagedBlock: a byte that has changed on disk is never given out. Its
// block answers EIO and is named in the log, all else is as it was.
func TestDamagedBlock(t *testing.T) {
	w, big := stored(t)
	volumes, err := filepath.Glob(filepath.Join(w.Dir(), "chunks", "vol-????????"))
	if err != nil || len(volumes) == 0 {
		t.Fatal(volumes, err)
	}
	flip(t, volumes[0], big[:64])
	w.Up(t)
	bad := 0
	for _, name := range []string{"big", "other"} {
		f, err := os.Open(filepath.Join(w.Mount(), name))
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 64<<10)
		for off := 0; off < len(big) && (name == "big" || off < 1<<20); off += len(got) {
			switch _, err := f.ReadAt(got, int64(off)); {
			case errors.Is(err, syscall.EIO):
				bad++
			case err != nil || !bytes.Equal(got, big[off:off+len(got)]):
				t.Fatalf("%s at %d: %v, or wrong bytes", name, off, err)
			}
		}
		f.Close()
	}
	if bad == 0 || bad > 64 {
		t.Errorf("%d pieces of 64 KiB answer EIO, and one block of at most 4 MiB is damaged", bad)
	}
	if log := w.Logs(); !strings.Contains(log, "damaged") {
		t.Errorf("the log does not say which block is damaged:\n%s", log)
	}
	alive(t, w)
}

// TestDamagedEngine: a server over a damaged engine says so and ends, or has
// everything; it never starts as if there had been nothing.
func TestDamagedEngine(t *testing.T) {
	for _, c := range []struct {
		pattern string
		how     string
	}{
		{"*.sst", "flip"}, {"*.sst", "remove"}, {"MANIFEST-*", "flip"}, {"MANIFEST-*", "cut"}, {"MANIFEST-*", "remove"}, {"*.log", "remove"}, {"VERSION", "newer"},
	} {
		t.Run(strings.Trim(c.pattern, "*.-")+" "+c.how, func(t *testing.T) {
			w, _ := stored(t)
			engine := filepath.Join(w.Dir(), "engine")
			files, err := filepath.Glob(filepath.Join(engine, c.pattern))
			if err != nil {
				t.Fatal(err)
			}
			if len(files) == 0 {
				var have []string
				all, _ := os.ReadDir(engine)
				for _, e := range all {
					have = append(have, e.Name())
				}
				t.Fatalf("no %s among %q", c.pattern, have)
			}
			for _, f := range files {
				switch c.how {
				case "flip":
					flip(t, f, nil)
				case "cut":
					err = os.Truncate(f, 10)
				case "remove":
					err = os.Remove(f)
				case "newer":
					err = os.WriteFile(f, []byte("99\n"), 0o600)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			mnt := harness.TempDir(t)
			r := harness.Run(t, limit, "dev", "--dir", w.Dir(), "--mount", mnt, "--set", "log.level=error")
			if r.Code != damaged {
				t.Errorf("exit code %d, want %d\n%s", r.Code, damaged, r.Stderr)
			}
			if strings.Contains(r.Stderr, "goroutine ") || !strings.Contains(r.Stderr, "wardfs: ") {
				t.Errorf("not told in a line:\n%s", r.Stderr)
			}
		})
	}
}
