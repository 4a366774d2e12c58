// Package crash kills wardfs and looks at what is left. The rule it checks is
// promise 3: what fsync or a metadata reply acknowledged is there afterwards,
// whole; what was under way has happened or not; nothing is unreadable.
package crash

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/wardfs/wardfs/tests/harness"
)

// An Op is one thing that a writer does. It says so on its standard output
// before, and again when it was acknowledged: a log that is in no filesystem.
type Op struct {
	Kind     string // put, append, over, mkdir, rename, link, unlink
	Path, To string // relative to the writer's directory
	Seed     uint64 // of the data
	Off, Len int
}

// data is what an operation writes.
func data(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32()) | 1 // never zero
	}
	return b
}

// A Model is what a writer's directory should hold: the bytes of each file,
// nil for a directory.
type Model map[string][]byte

// apply is what op does when it succeeds.
func (m Model) apply(op Op) {
	switch op.Kind {
	case "put":
		m[op.Path] = data(op.Seed, op.Len)
	case "append":
		m[op.Path] = append(slices.Clone(m[op.Path]), data(op.Seed, op.Len)...)
	case "over":
		b := slices.Clone(m[op.Path])
		copy(b[op.Off:], data(op.Seed, op.Len))
		m[op.Path] = b
	case "mkdir":
		m[op.Path] = nil
	case "rename":
		m[op.To] = m[op.Path]
		delete(m, op.Path)
	case "link":
		m[op.To] = m[op.Path]
	case "unlink":
		delete(m, op.Path)
	}
}

// plan picks the next operation. Linked files are not written again: a Model
// knows names, not inodes.
func (m Model) plan(r *rand.Rand, n int, linked map[string]bool) Op {
	op := Op{Seed: r.Uint64(), Len: 1 + r.IntN([]int{100, 5000, 200_000, 5 << 20}[r.IntN(4)])}
	var files []string
	for p, b := range m {
		if b != nil {
			files = append(files, p)
		}
	}
	slices.Sort(files)
	fresh := fmt.Sprint("f", n)
	if len(files) < 5 {
		op.Kind, op.Path = "put", fresh
		return op
	}
	op.Path = files[r.IntN(len(files))]
	switch k := r.IntN(10); {
	case k < 3:
		op.Kind, op.Path = "put", fresh
	case k < 4 && !linked[op.Path]:
		op.Kind, op.Len = "append", min(op.Len, 300_000)
	case k < 5 && !linked[op.Path]:
		op.Kind, op.Off = "over", r.IntN(len(m[op.Path]))
		op.Len = min(op.Len, len(m[op.Path])-op.Off)
	case k < 6:
		op.Kind, op.Path = "mkdir", fmt.Sprint("d", n)
	case k < 7:
		op.Kind, op.To = "rename", fresh
	case k < 8: // onto another
		op.Kind, op.To = "rename", files[r.IntN(len(files))]
		if op.To == op.Path || linked[op.To] || linked[op.Path] {
			op.To = fresh
		}
	case k < 9:
		op.Kind, op.To = "link", fresh
	default:
		op.Kind = "unlink"
	}
	return op
}

// do carries op out in dir and returns when it must survive a crash.
func do(dir string, op Op) error {
	path, to := filepath.Join(dir, op.Path), filepath.Join(dir, op.To)
	write := func(flags, off int) error {
		f, err := os.OpenFile(path, flags|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		b := data(op.Seed, op.Len)
		if flags&os.O_APPEND != 0 {
			_, err = f.Write(b)
		} else {
			_, err = f.WriteAt(b, int64(off))
		}
		return errors.Join(err, f.Sync(), f.Close())
	}
	switch op.Kind {
	case "put":
		return write(os.O_CREATE|os.O_EXCL, 0)
	case "append":
		return write(os.O_APPEND, 0)
	case "over":
		return write(0, op.Off)
	case "mkdir":
		return os.Mkdir(path, 0o755)
	case "rename":
		return os.Rename(path, to)
	case "link":
		return os.Link(path, to)
	default:
		return os.Remove(path)
	}
}

// Children are the programs that the tests start; TestMain hands them on.
func Children() map[string]func(args []string) error {
	return map[string]func([]string) error{"crash-writer": writer, "crash-wait": wait}
}

// writer works in the directory args[0] by the seed args[1] until something
// fails, which is what happens when the mount dies.
func writer(args []string) error {
	dir := args[0]
	var seed uint64
	if _, err := fmt.Sscan(args[1], &seed); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	r := rand.New(rand.NewPCG(seed, 0))
	m, linked := Model{}, map[string]bool{}
	log := json.NewEncoder(os.Stdout)
	for n := 0; ; n++ {
		op := m.plan(r, n, linked)
		if err := log.Encode(op); err != nil {
			return err
		}
		if err := do(dir, op); err != nil {
			return fmt.Errorf("%+v: %w", op, err)
		}
		if _, err := io.WriteString(os.Stdout, "acknowledged\n"); err != nil {
			return err
		}
		m.apply(op)
		switch op.Kind {
		case "link":
			linked[op.Path], linked[op.To] = true, true
		case "rename":
			linked[op.To] = linked[op.Path]
		}
	}
}

// A Worker is a writer and what is known of it.
type Worker struct {
	Dir string // relative to the mount
	cmd *exec.Cmd

	mu      sync.Mutex
	model   Model
	pending *Op // said, but not acknowledged
	err     error
	said    strings.Builder // its standard error
	ended   chan struct{}
}

// StartWorker starts a writer in dir below mnt; acked is called, on another
// goroutine, for each operation that was acknowledged.
func StartWorker(mnt, dir string, seed uint64, acked func()) (*Worker, error) {
	w := &Worker{Dir: dir, model: Model{}, ended: make(chan struct{})}
	w.cmd = harness.Child("crash-writer", filepath.Join(mnt, dir), fmt.Sprint(seed))
	w.cmd.Stderr = &w.said
	out, err := w.cmd.StdoutPipe()
	if err == nil {
		err = w.cmd.Start()
	}
	if err != nil {
		return nil, err
	}
	go func() {
		defer close(w.ended)
		for s := bufio.NewScanner(out); s.Scan(); {
			w.hear(s.Bytes())
			if s.Text() == "acknowledged" {
				acked()
			}
		}
		w.cmd.Wait()
	}()
	return w, nil
}

func (w *Worker) hear(line []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if string(line) == "acknowledged" {
		w.model.apply(*w.pending)
		w.pending = nil
		return
	}
	w.pending = &Op{}
	w.err = errors.Join(w.err, json.Unmarshal(line, w.pending))
}

// Wait waits for its end and answers what it died of.
func (w *Worker) Wait() string {
	<-w.ended
	return w.said.String()
}

// Kill ends a writer that nothing else has ended.
func (w *Worker) Kill() {
	w.cmd.Process.Kill()
	<-w.ended
}

// Verify compares the directory with the model. What the operation under way
// touched may be as before, as after, or half written, but not unreadable.
func (w *Worker) Verify(mnt string) error {
	dir := filepath.Join(mnt, w.Dir)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) && len(w.model) == 0 {
		return w.err // killed before its own mkdir
	}
	errs := []error{w.err, err}
	open := map[string]bool{}
	if w.pending != nil {
		open[w.pending.Path], open[w.pending.To] = true, true
	}
	found := map[string]bool{}
	for _, e := range entries {
		found[e.Name()] = true
		want, known := w.model[e.Name()]
		errs = append(errs, w.check(filepath.Join(dir, e.Name()), want, known, open[e.Name()]))
	}
	for name := range w.model {
		if !found[name] && !open[name] {
			errs = append(errs, fmt.Errorf("%s/%s was acknowledged and is gone", w.Dir, name))
		}
	}
	return errors.Join(errs...)
}

func (w *Worker) check(path string, want []byte, known, open bool) error {
	st, err := os.Lstat(path)
	if err != nil {
		return err
	}
	var got []byte
	if !st.IsDir() {
		if got, err = os.ReadFile(path); err != nil {
			return fmt.Errorf("unreadable: %w", err)
		}
	}
	switch {
	case open:
	case !known:
		return fmt.Errorf("%s was removed or never made, and is there", path)
	case st.IsDir() != (want == nil):
		return fmt.Errorf("%s: directory is %v", path, st.IsDir())
	case string(got) != string(want):
		return fmt.Errorf("%s: %d bytes, want %d; the first difference is at %d", path, len(got), len(want), differ(got, want))
	}
	return nil
}

func differ(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

// Acknowledged is how many names the model holds.
func (w *Worker) Acknowledged() int { return len(w.model) }
