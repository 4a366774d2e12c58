// Package shared says what two mounts of one server owe each other: what one
// closes the other opens, locks exclude across both and are given up when
// their owner dies, appends from both lose nothing, names made and removed
// here are made and removed there.
//
// Run takes two directories that are one: on two mounts, or, to see whether
// the assertions are right, twice the same on the machine's own disk. It makes
// no claim about how soon the other mount sees a name: it waits until it does.
package shared

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/wardfs/wardfs/tests/harness"
)

// Run runs all that is promised over dirs, which show the same files.
func Run(t *testing.T, dirs [2]string) {
	for _, c := range []struct {
		name string
		run  func(t *testing.T, dirs [2]string)
	}{
		{"closed", closedThenOpened}, {"names", names}, {"append", appends}, {"counter", counters},
		{"locks", locks}, {"random", random},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ok(t, os.Mkdir(filepath.Join(dirs[0], c.name), 0o755))
			both := [2]string{filepath.Join(dirs[0], c.name), filepath.Join(dirs[1], c.name)}
			ok(t, harness.Until(func() error { _, err := os.Stat(both[1]); return err }))
			c.run(t, both)
		})
	}
}

// Children are the programs that the tests start; TestMain hands them on.
func Children() map[string]func(args []string) error {
	return map[string]func([]string) error{
		"shared-append":  appendChild,
		"shared-counter": counterChild,
		"shared-lock":    lockChild,
		"shared-random":  randomChild,
	}
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// all runs children to their end and answers what they complained of.
func all(t *testing.T, name string, args [][]string) {
	t.Helper()
	var waits []func()
	for _, a := range args {
		cmd := harness.Child(name, a...)
		cmd.Stderr = os.Stderr
		ok(t, cmd.Start())
		waits = append(waits, func() {
			if err := cmd.Wait(); err != nil {
				t.Errorf("%s %v: %v", name, a, err)
			}
		})
	}
	for _, wait := range waits {
		wait()
	}
}
