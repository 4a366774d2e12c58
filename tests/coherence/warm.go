package coherence

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/wardfs/wardfs/tests/harness"
)

// warm makes a file here and reads it there until nothing of it is cold: its
// opens, its pages, its attributes.
func warm(t *testing.T, here, there string, round int, text string) (mine, theirs string) {
	t.Helper()
	name := fmt.Sprint(filepath.Base(here), " ", round) // of which nobody believes that it is not there
	mine, theirs = filepath.Join(here, name), filepath.Join(there, name)
	must(t, os.WriteFile(mine, []byte(text), 0o644))
	for range 5 {
		reads(t, theirs, text)
	}
	return mine, theirs
}

func reads(t *testing.T, path, want string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil || string(got) != want {
		t.Fatalf("read %q, %v; want %q", got, err, want)
	}
}

// held reads what is open, past the kernel's pages.
func held(t *testing.T, f *os.File, want string) {
	t.Helper()
	must(t, unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED))
	got := make([]byte, len(want)+1)
	n, err := f.ReadAt(got, 0)
	if string(got[:n]) != want {
		t.Fatalf("what is open reads %q, %v; want %q", got[:n], err, want)
	}
}

// Warm changes here what is as warm there as can be. What is opened there
// afterwards is what it is now, and who may not open it is refused at once; what
// was open there stays open, also where the server was not asked for that.
func Warm(t *testing.T, here, there string) {
	for round := range 20 {
		mine, theirs := warm(t, here, there, round, "first")
		must(t, os.WriteFile(mine, []byte("second"), 0o644))
		reads(t, theirs, "second")

		open, err := os.Open(theirs)
		must(t, err)
		if round%2 == 0 {
			must(t, os.Remove(mine))
		} else {
			must(t, os.WriteFile(mine+".new", []byte("third"), 0o644))
			must(t, os.Rename(mine+".new", mine))
		}
		held(t, open, "second")
		must(t, open.Close())
		// The name is the kernel's to believe, until it hears of it.
		until(t, "what became of the name", func() bool {
			got, err := os.ReadFile(theirs)
			return round%2 == 0 && os.IsNotExist(err) || string(got) == "third"
		})
		os.Remove(mine)
	}
}

// Shut takes away the right to a file that is warm for a plain user there.
func Shut(t *testing.T, here, there string) {
	must(t, os.Chmod(here, 0o755))
	for round := range 10 {
		mine, theirs := warm(t, here, there, round, "text")
		var open *os.File
		harness.As(harness.Alice, func() {
			for range 5 {
				reads(t, theirs, "text")
			}
			var err error
			open, err = os.Open(theirs)
			must(t, err)
		})
		must(t, os.Chmod(mine, 0))
		harness.As(harness.Alice, func() {
			if _, err := os.ReadFile(theirs); !errors.Is(err, unix.EACCES) {
				t.Fatalf("opened after a chmod to 0: %v, want EACCES", err)
			}
			held(t, open, "text") // an open file stays open
		})
		must(t, open.Close())
		must(t, os.Remove(mine))
	}
}

// Frozen changes here what is warm there, whose process hears nothing: that must
// not last, and when it goes on, what it opens is what it is now.
func Frozen(t *testing.T, here, there string, pid int) {
	mine, theirs := warm(t, here, there, 0, "old")
	must(t, unix.Kill(pid, unix.SIGSTOP))
	err := os.WriteFile(mine, []byte("new"), 0o644)
	must(t, unix.Kill(pid, unix.SIGCONT))
	must(t, err)
	for range 5 {
		reads(t, theirs, "new")
	}
}

// Restarted reads through what was opened there without a question after the
// server was killed and came back.
func Restarted(t *testing.T, here, there string, restart func()) {
	mine, theirs := warm(t, here, there, 1, "old")
	open, err := os.Open(theirs)
	must(t, err)
	defer open.Close()
	restart()
	held(t, open, "old")
	must(t, os.WriteFile(mine, []byte("new"), 0o644))
	reads(t, theirs, "new")
}
