// Package coherence looks at one server through two mounts: what one has closed
// the other opens, what one has changed the other is told, and two that work in
// one directory neither stand still nor end up with two truths.
//
// It refuses to time the machine: it waits for what must come, however long
// that takes, and a watchdog says where it stands still.
package coherence

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// patience is for how long nothing may happen at all.
const patience = 3 * time.Minute

// watch ends the test with all goroutines if steps stops to grow.
func watch(t *testing.T, steps *atomic.Int64) {
	done := make(chan struct{})
	t.Cleanup(func() { close(done) })
	go func() {
		last := steps.Load()
		for {
			select {
			case <-done:
				return
			case <-time.After(patience):
			}
			now := steps.Load()
			if now == last {
				panic(fmt.Sprintf("coherence: nothing has happened for %v, after %d steps", patience, now))
			}
			last = now
		}
	}()
}

// until waits for what must come.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for start := time.Now(); !ok(); time.Sleep(time.Millisecond) {
		if time.Since(start) > patience {
			t.Fatalf("it never came: %s", what)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// CloseToOpen writes on each mount in turn and reads on the other: who opens a
// file after it was closed has what was written, at once.
func CloseToOpen(t *testing.T, mounts [2]string) {
	for round := range 200 {
		from, to := mounts[round%2], mounts[1-round%2]
		want := strings.Repeat(fmt.Sprintf("%06d ", round), 1+round%5*3000)
		must(t, os.WriteFile(filepath.Join(from, "file"), []byte(want), 0o644))
		got, err := os.ReadFile(filepath.Join(to, "file"))
		if err != nil || string(got) != want {
			t.Fatalf("round %d: %d bytes %.20q, want %d bytes %.20q, %v", round, len(got), got, len(want), want, err)
		}
	}
}

// Told changes things on one mount and waits until the other has heard of it;
// the caller sees to it that it would believe the old for an hour.
func Told(t *testing.T, here, there string) {
	path := func(mnt string) string { return filepath.Join(mnt, "told") }
	stat := func(p string) (st syscall.Stat_t) { must(t, syscall.Lstat(p, &st)); return st }
	must(t, os.WriteFile(path(here), []byte("one"), 0o644))
	until(t, "the name", func() bool { _, err := os.Stat(path(there)); return err == nil })
	ino := stat(path(there)).Ino

	must(t, os.Chmod(path(here), 0o600))
	until(t, "the mode", func() bool { return stat(path(there)).Mode&0o777 == 0o600 })
	open, err := os.Open(path(there))
	must(t, err)
	defer open.Close()
	must(t, os.WriteFile(path(here), []byte("two"), 0o644))
	until(t, "the bytes, in a file that is open", func() bool {
		var b [3]byte
		_, err := open.ReadAt(b[:], 0)
		must(t, err)
		return string(b[:]) == "two"
	})
	must(t, os.Link(path(here), path(here)+".link"))
	until(t, "the link count", func() bool { return stat(path(there)).Nlink == 2 })
	must(t, os.Mkdir(path(here)+".d", 0o755))
	until(t, "the directory's links", func() bool { return stat(there).Nlink == stat(here).Nlink })
	must(t, os.WriteFile(path(here)+".new", []byte("three"), 0o644))
	must(t, os.Rename(path(here)+".new", path(here)))
	until(t, "the file that was put in its place", func() bool { return stat(path(there)).Ino != ino })
	until(t, "the listing", func() bool { return slices.Equal(list(t, here), list(t, there)) })
	must(t, os.Remove(path(here)))
	until(t, "the end of the name", func() bool { _, err := os.Lstat(path(there)); return os.IsNotExist(err) })
}

func list(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
