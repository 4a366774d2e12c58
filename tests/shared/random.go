package shared

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/wardfs/wardfs/tests/harness"
)

// random: many processes do random things, each in a directory of its own and
// each thing on a random one of the two mounts, and compare what the other
// mount shows with a model.
func random(t *testing.T, dirs [2]string) {
	const procs = 6
	steps := harness.Size(60, 2000)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	var args [][]string
	for k := range procs {
		name := "p" + strconv.Itoa(k)
		ok(t, os.Mkdir(filepath.Join(dirs[0], name), 0o755))
		args = append(args, []string{filepath.Join(dirs[0], name), filepath.Join(dirs[1], name), fmt.Sprint(seed + uint64(k)), strconv.Itoa(steps)})
	}
	all(t, "shared-random", args)
}

// tree is the model of a directory: the bytes of each file, nil for a directory.
// No file has two names.
type tree map[string][]byte

func randomChild(args []string) error {
	seed, err := strconv.ParseUint(args[2], 10, 64)
	if err != nil {
		return err
	}
	steps, _ := strconv.Atoi(args[3])
	r := rand.New(rand.NewPCG(seed, 3))
	m := tree{}
	for k := range steps {
		on := r.IntN(2)
		what, err := m.step(args[on], r)
		if err != nil {
			return fmt.Errorf("step %d, seed %d: %s: %w", k, seed, what, err)
		}
		for _, dir := range []string{args[1-on], args[on]} {
			if err := harness.Until(func() error { return m.compare(dir) }); err != nil {
				return fmt.Errorf("step %d, seed %d: after %s on mount %d: %w", k, seed, what, on, err)
			}
		}
	}
	return nil
}

// pick answers a random name of m, of a directory or not.
func (m tree) pick(r *rand.Rand, dirs bool) string {
	names := slices.Sorted(maps.Keys(m))
	names = slices.DeleteFunc(names, func(n string) bool { return (m[n] == nil) != dirs })
	if len(names) == 0 {
		return ""
	}
	return names[r.IntN(len(names))]
}

// step does one random thing in dir and in m.
func (m tree) step(dir string, r *rand.Rand) (what string, err error) {
	name, fresh := m.pick(r, false), fmt.Sprint("n", r.IntN(1000))
	if _, taken := m[fresh]; taken || len(m) > 12 {
		fresh = ""
	}
	data := bytes.Repeat([]byte{byte(1 + r.IntN(255))}, 1+r.IntN(50_000))
	at := func(n string) string { return filepath.Join(dir, n) }
	switch k := r.IntN(9); {
	case name == "" && fresh == "":
		d := m.pick(r, true)
		delete(m, d)
		return "rmdir " + d, os.Remove(at(d))
	case name == "" || k == 0 && fresh != "":
		m[fresh] = data
		return "create " + fresh, exclusive(at(fresh), data)
	case k == 1 && fresh != "":
		m[fresh] = nil
		return "mkdir " + fresh, os.Mkdir(at(fresh), 0o755)
	case k == 2 && fresh != "":
		m[fresh], m[name] = m[name], nil
		delete(m, name)
		return "rename " + name + " " + fresh, os.Rename(at(name), at(fresh))
	case k == 3:
		over := m.pick(r, false)
		if over != name {
			m[over] = m[name]
			delete(m, name)
		}
		return "replace " + over + " by " + name, os.Rename(at(name), at(over))
	case k == 4:
		delete(m, name)
		return "remove " + name, os.Remove(at(name))
	case k == 5:
		m[name] = append(slices.Clone(m[name]), data...)
		return "append to " + name, written(at(name), os.O_APPEND, data, -1)
	case k == 6:
		size := r.IntN(len(m[name]) + 1)
		m[name] = m[name][:size:size]
		return "truncate " + name, os.Truncate(at(name), int64(size))
	default:
		off := r.IntN(len(m[name]) + 1)
		b := append(slices.Clone(m[name][:off]), data...)
		m[name] = append(b, m[name][min(len(b), len(m[name])):]...)
		return fmt.Sprintf("write %s at %d", name, off), written(at(name), 0, data, int64(off))
	}
}

func exclusive(name string, data []byte) error {
	return written(name, os.O_CREATE|os.O_EXCL, data, 0)
}

// written opens, writes at off (where the file ends if that is negative) and
// closes.
func written(name string, flags int, data []byte, off int64) error {
	f, err := os.OpenFile(name, flags|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	if off < 0 {
		_, err = f.Write(data)
	} else {
		_, err = f.WriteAt(data, off)
	}
	return errors.Join(err, f.Close())
}

// compare answers how dir differs from m.
func (m tree) compare(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	if len(entries) != len(m) {
		return fmt.Errorf("%d names, want %d", len(entries), len(m))
	}
	for _, e := range entries {
		want, known := m[e.Name()]
		if !known || e.IsDir() != (want == nil) {
			return fmt.Errorf("%s is listed", e.Name())
		}
		if want == nil {
			continue
		}
		got, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return err
		}
		if !bytes.Equal(got, want) {
			return fmt.Errorf("%s: %d bytes, want %d, or others", e.Name(), len(got), len(want))
		}
	}
	return nil
}
