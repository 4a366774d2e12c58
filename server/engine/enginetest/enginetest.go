// Package enginetest is the contract of engine.Engine as tests: a body of the
// engine calls Run, and one that keeps what it acknowledged calls RunCrash too.
//
// A check is a function that answers an error, not one that fails a test, so
// that the suite's own tests can show which broken engine each check catches.
package enginetest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/wardfs/wardfs/server/engine"
)

// Check is one clause of the contract. Run is given an empty engine, may close
// it, and answers what it did wrong.
type Check struct {
	Name string
	Run  func(e engine.Engine) error
}

// Checks are all clauses but those on crashes.
func Checks() []Check {
	return []Check{
		{"GetPut", getPut},
		{"EdgeKeys", edgeKeys},
		{"EmptyKey", emptyKey},
		{"Scan", scanRanges},
		{"ScanStops", scanStops},
		{"ScanSeesOwnWrites", scanOwnWrites},
		{"ScanWithWrites", scanWithWrites},
		{"CopiesArguments", copiesArguments},
		{"ErrorLeavesNothing", errorLeavesNothing},
		{"PanicLeavesNothing", panicLeavesNothing},
		{"BigTransaction", bigTransaction},
		{"ViewIsFixed", viewIsFixed},
		{"Cancel", cancelled},
		{"Close", closing},
		{"CloseWaits", closeWaits},
		{"Counter", counter},
		{"Bank", bank},
		{"WriteSkew", writeSkew},
		{"Phantom", phantom},
		{"RealTime", realTime},
		{"Model", model},
	}
}

// Run holds the engines of open to the contract. open is called once for each
// check and answers an empty engine.
func Run(t *testing.T, open func(t *testing.T) engine.Engine) {
	for _, c := range Checks() {
		t.Run(c.Name, func(t *testing.T) {
			e := open(t)
			err := c.Run(e)
			if cerr := e.Close(); cerr != nil && !errors.Is(cerr, engine.ErrClosed) {
				t.Errorf("close: %v", cerr)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
}

var background = context.Background()

// put makes one transaction that writes pairs of key and value.
func put(e engine.Engine, pairs ...string) error {
	return e.Update(background, func(tx engine.Tx) error {
		for i := 0; i < len(pairs); i += 2 {
			tx.Put([]byte(pairs[i]), []byte(pairs[i+1]))
		}
		return nil
	})
}

// list is what [lo, hi) holds, as "key=value" in the order of the scan.
func list(r engine.Reader, lo, hi []byte) (all []string, err error) {
	err = r.Scan(lo, hi, func(k, v []byte) bool {
		all = append(all, fmt.Sprintf("%s=%s", k, v))
		return true
	})
	return all, err
}

// want answers an error unless the store holds exactly these "key=value".
func want(e engine.Engine, pairs ...string) error {
	return e.View(background, func(r engine.Reader) error {
		got, err := list(r, nil, nil)
		if err != nil {
			return err
		}
		if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", pairs) {
			return fmt.Errorf("the store holds %q, want %q", got, pairs)
		}
		return nil
	})
}

// get is a Get that must find.
func get(r engine.Reader, key string) (string, error) {
	v, ok, err := r.Get([]byte(key))
	if err == nil && !ok {
		err = fmt.Errorf("key %q is not there", key)
	}
	return string(v), err
}
