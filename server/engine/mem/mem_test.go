package mem_test

import (
	"math/rand/v2"
	"testing"

	"github.com/wardfs/wardfs/server/engine"
	"github.com/wardfs/wardfs/server/engine/enginetest"
	"github.com/wardfs/wardfs/server/engine/mem"
)

func TestContract(t *testing.T) {
	enginetest.Run(t, func(t *testing.T) engine.Engine { return mem.New() })
}

func TestContractOnDisk(t *testing.T) {
	enginetest.Run(t, func(t *testing.T) engine.Engine { return mem.NewDisk().Open() })
}

// disk lets the suite see a mem.Disk as one of its own.
type disk struct{ *mem.Disk }

func (d disk) Open() (engine.Engine, error)       { return d.Disk.Open(), nil }
func (d disk) Cut(rng *rand.Rand) enginetest.Disk { return disk{d.Disk.Cut(rng)} }

func TestCrash(t *testing.T) {
	enginetest.RunCrash(t, func(t *testing.T) enginetest.Disk { return disk{mem.NewDisk()} })
}

// TestStrict shows that what the contract forbids does not go unseen.
func TestStrict(t *testing.T) {
	e := mem.New()
	var kept []byte
	var tx engine.Tx
	err := e.Update(t.Context(), func(u engine.Tx) error {
		u.Put([]byte("k"), []byte("value"))
		tx = u
		var err error
		kept, _, err = u.Get([]byte("k"))
		return err
	})
	if err != nil || string(kept) == "value" {
		t.Errorf("a value that was kept reads %q, %v", kept, err)
	}
	mustPanic(t, "a Get after the end", func() { _, _, _ = tx.Get([]byte("k")) })
	mustPanic(t, "a Put after the end", func() { tx.Put([]byte("k"), nil) })
	mustPanic(t, "a Put in a View", func() {
		_ = e.View(t.Context(), func(r engine.Reader) error { r.(engine.Tx).Put(nil, nil); return nil })
	})
}

func mustPanic(t *testing.T, what string, f func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Errorf("%s does not panic", what)
		}
	}()
	f()
}
