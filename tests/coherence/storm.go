package coherence

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// races are what may come of it when others work in the same directory.
var races = []error{syscall.ENOENT, syscall.EEXIST, syscall.ENOTEMPTY, syscall.ESTALE, syscall.EISDIR, syscall.ENOTDIR}

// Storm has workers on both mounts make, rename, link, list and remove the same
// few names, until each has done so many steps. Then both mounts must show one
// truth.
func Storm(t *testing.T, mounts [2]string, workers, steps int) {
	var done atomic.Int64
	watch(t, &done)
	const dir = "storm"
	must(t, os.Mkdir(filepath.Join(mounts[0], dir), 0o755))
	until(t, "the directory", func() bool { _, err := os.Stat(filepath.Join(mounts[1], dir)); return err == nil })
	var work sync.WaitGroup
	for w := range 2 * workers {
		work.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(w), 7))
			for range steps {
				err := step(rng, filepath.Join(mounts[w%2], dir))
				if err != nil && !expected(err) {
					t.Errorf("worker %d: %v", w, err)
					return
				}
				done.Add(1)
			}
		})
	}
	work.Wait()
	ended := time.Now()
	var last string
	until(t, "one truth on both mounts", func() bool {
		a, b := truth(filepath.Join(mounts[0], dir)), truth(filepath.Join(mounts[1], dir))
		last = a + "\n" + b
		return a == b
	})
	t.Logf("%d steps, and %v later:\n%s", done.Load(), time.Since(ended), last)
}

func expected(err error) bool {
	for _, r := range races {
		if errors.Is(err, r) {
			return true
		}
	}
	return false
}

// step does one thing to one of a few names.
func step(rng *rand.Rand, dir string) error {
	name := func() string { return filepath.Join(dir, fmt.Sprint(rng.IntN(5))) }
	switch rng.IntN(10) {
	case 0, 1:
		return os.WriteFile(name(), []byte(name()), 0o644)
	case 2:
		return os.Mkdir(name(), 0o755)
	case 3, 4:
		return os.Rename(name(), name())
	case 5, 6:
		return os.Remove(name())
	case 7:
		if err := os.Link(name(), name()); !errors.Is(err, syscall.EPERM) { // of a directory
			return err
		}
		return nil
	case 8:
		return os.Chmod(name(), os.FileMode(0o400+rng.IntN(0o400)))
	}
	_, err := os.ReadDir(dir)
	return err
}

// truth is what a mount shows of a directory: names, numbers, modes, links.
func truth(dir string) string {
	entries, err := os.ReadDir(dir)
	out := fmt.Sprintln(err)
	for _, e := range entries {
		var st syscall.Stat_t
		err := syscall.Lstat(filepath.Join(dir, e.Name()), &st)
		out += fmt.Sprintln(e.Name(), st.Ino, st.Mode, st.Nlink, st.Size, st.Mtim, st.Ctim, err)
	}
	return out
}
