// Package scale makes big things on a mount and looks whether they are right
// and what they cost in memory: a sparse file, a full directory, many open
// files, many threads on one file.
//
//	go test ./tests/scale -v          seconds
//	go test ./tests/scale -v -full    the sizes of docs/performance.md
package scale

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wardfs/wardfs/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m, nil) }

// memoryMax is what neither process may ever have had, in KiB: far above the
// bounds of their buffers, far below what holding all at once would take.
const memoryMax = 1 << 20

// start starts a server and a mount and, at the end, tells and checks the most
// memory that each had.
func start(t *testing.T) (*harness.Server, *harness.Mount) {
	t.Helper()
	s := harness.StartServer(t)
	m := s.Mount(t)
	t.Cleanup(func() {
		mount, server := peak(t, m.Pid()), peak(t, s.Pid())
		t.Logf("peak memory: mount %d MiB, server %d MiB", mount>>10, server>>10)
		if mount > memoryMax || server > memoryMax {
			t.Errorf("more than %d MiB", memoryMax>>10)
		}
	})
	return s, m
}

// peak is the process's VmHWM in KiB.
func peak(t *testing.T, pid int) int { return status(t, pid, "VmHWM:") }

// status is a number of /proc/PID/status.
func status(t *testing.T, pid int, line string) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	ok(t, err)
	_, rest, _ := strings.Cut(string(b), line)
	var kib int
	_, err = fmt.Sscan(rest, &kib)
	ok(t, err)
	return kib
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// pattern is what the i-th writer writes.
func pattern(i, n int) []byte {
	b := make([]byte, n)
	for k := range b {
		b[k] = byte(1 + (i*31+k*7)%255)
	}
	return b
}

// TestSparse: 100 GiB with data at both ends and nothing between.
func TestSparse(t *testing.T) {
	const size, piece = 100 << 30, 1 << 20
	_, m := start(t)
	name := filepath.Join(m.Path(), "sparse")
	f, err := os.Create(name)
	ok(t, err)
	defer func() { f.Close() }() // the one that is open by then: an open file keeps the mount busy
	for i, off := range []int64{0, size - piece} {
		_, err := f.WriteAt(pattern(i, piece), off)
		ok(t, err)
	}
	ok(t, f.Sync())
	ok(t, f.Close())
	if f, err = os.Open(name); err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	ok(t, unix.Fstat(int(f.Fd()), &st))
	if st.Size != size || st.Blocks*512 > 3*piece {
		t.Errorf("size %d, %d bytes in blocks", st.Size, st.Blocks*512)
	}
	b := make([]byte, piece)
	for _, c := range []struct {
		off  int64
		want string
	}{
		{0, string(pattern(0, piece))}, {size - piece, string(pattern(1, piece))},
		{piece, string(make([]byte, piece))}, {size / 2, string(make([]byte, piece))}, {size - 2*piece, string(make([]byte, piece))},
	} {
		_, err := f.ReadAt(b, c.off)
		ok(t, err)
		if string(b) != c.want {
			t.Errorf("wrong bytes at %d", c.off)
		}
	}
	hole, err := unix.Seek(int(f.Fd()), 0, unix.SEEK_HOLE)
	ok(t, err)
	data, err := unix.Seek(int(f.Fd()), hole, unix.SEEK_DATA)
	ok(t, err)
	if hole != piece || data != size-piece {
		t.Errorf("the hole is from %d to %d", hole, data)
	}
}

// TestDirectory: a directory of 200,000 entries is filled, listed with and
// without attributes, and emptied.
func TestDirectory(t *testing.T) {
	entries := harness.Size(10_000, 200_000)
	s, m := start(t)
	dir := filepath.Join(m.Path(), "d")
	ok(t, os.Mkdir(dir, 0o755))
	told := timer(t, entries, m.Pid(), s.Pid())
	beside(t, 16, entries, func(i int) error {
		return os.WriteFile(filepath.Join(dir, fmt.Sprint("entry", i)), nil, 0o644)
	})
	told("filled")
	for _, flags := range []string{"-U", "-lU"} {
		out, err := exec.Command("ls", flags, dir).Output()
		ok(t, err)
		told("ls " + flags)
		seen := map[string]bool{}
		for line := range strings.Lines(string(out)) {
			if f := strings.Fields(line); strings.HasPrefix(f[len(f)-1], "entry") {
				seen[f[len(f)-1]] = true
			}
		}
		if len(seen) != entries {
			t.Errorf("ls %s: %d entries, want %d", flags, len(seen), entries)
		}
	}
	if out, err := exec.Command("rm", "-r", dir).CombinedOutput(); err != nil {
		t.Errorf("rm: %v %.500s", err, out)
	}
	told("emptied")
}

// timer gives a function that logs what each of n things took since the last
// call, by the clock and of the mount's and the server's CPU: the runs of two
// sizes show what grows faster than they do, on a busy machine too.
func timer(t *testing.T, n, mount, server int) func(did string) {
	read := func() [3]time.Duration {
		return [3]time.Duration{time.Duration(time.Now().UnixNano()), cpu(t, mount), cpu(t, server)}
	}
	last := read()
	return func(did string) {
		now := read()
		each := func(i int) time.Duration { return ((now[i] - last[i]) / time.Duration(n)).Round(100 * time.Nanosecond) }
		t.Logf("%s: %v, %v each; CPU of the mount %v each, of the server %v", did, (now[0] - last[0]).Round(time.Millisecond), each(0), each(1), each(2))
		last = now
	}
}

// cpu is what the process has used of the processors.
func cpu(t *testing.T, pid int) time.Duration {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	ok(t, err)
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')'):])) // f[0] is field 2 of proc_pid_stat(5)
	var user, system int
	_, err = fmt.Sscan(f[12]+" "+f[13], &user, &system)
	ok(t, err)
	return time.Duration(user+system) * 10 * time.Millisecond
}

// beside runs f for each i below n, with so many at once.
func beside(t *testing.T, workers, n int, f func(i int) error) {
	t.Helper()
	var work sync.WaitGroup
	for w := range workers {
		work.Go(func() {
			for i := w; i < n; i += workers {
				if err := f(i); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	work.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// TestOpenFiles: 10,000 files are open at once, each written through its own
// descriptor, and half of them have no name any more.
func TestOpenFiles(t *testing.T) {
	files := harness.Size(1_000, 10_000)
	var limit unix.Rlimit
	ok(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	limit.Cur = limit.Max
	ok(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &limit))
	if limit.Max < uint64(files)+1000 {
		t.Fatalf("the limit of open files is %d: raise it (ulimit -Hn)", limit.Max)
	}
	_, m := start(t)
	open := make([]*os.File, files)
	defer func() {
		for _, f := range open {
			f.Close()
		}
	}()
	beside(t, 16, files, func(i int) (err error) {
		name := filepath.Join(m.Path(), fmt.Sprint(i))
		if open[i], err = os.Create(name); err == nil && i%2 == 0 {
			err = os.Remove(name)
		}
		return err
	})
	beside(t, 16, files, func(i int) error {
		_, err := open[i].WriteAt(pattern(i, 5000), 0)
		return err
	})
	beside(t, 16, files, func(i int) error {
		b := make([]byte, 5000)
		if _, err := open[i].ReadAt(b, 0); err != nil {
			return err
		}
		if string(b) != string(pattern(i, 5000)) {
			return fmt.Errorf("file %d: wrong bytes", i)
		}
		return nil
	})
}

// TestThreads: 1,000 threads write each its own range of one file and read
// another's.
func TestThreads(t *testing.T) {
	const piece = 100_000 // not a multiple of anything
	threads := harness.Size(200, 1_000)
	_, m := start(t)
	f, err := os.Create(filepath.Join(m.Path(), "f"))
	ok(t, err)
	defer f.Close()
	for round := range 2 {
		beside(t, threads, threads, func(i int) error {
			_, err := f.WriteAt(pattern(i+round, piece), int64(i)*piece)
			return err
		})
		ok(t, f.Sync())
		beside(t, threads, threads, func(i int) error {
			other := (i*7919 + 13) % threads
			b := make([]byte, piece)
			if _, err := f.ReadAt(b, int64(other)*piece); err != nil {
				return err
			}
			if string(b) != string(pattern(other+round, piece)) {
				return fmt.Errorf("thread %d: wrong bytes of %d", i, other)
			}
			return nil
		})
	}
}
