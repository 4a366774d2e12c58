package namespace

import (
	"testing"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/posix/posixtest"
	"github.com/wardfs/wardfs/server/engine/mem"
)

// The contract, and after each of its tests a namespace without a fault.
func TestContract(t *testing.T) {
	posixtest.Run(t, func(t *testing.T) func(posix.Cred) posix.Namespace {
		tr := open(t, mem.New(), Config{})
		t.Cleanup(func() { settled(t, tr) })
		return func(c posix.Cred) posix.Namespace { return tr.As(c).In(1) }
	})
}

// The same with every transaction run twice, the first time for nothing, as
// an engine may.
func TestContractRunTwice(t *testing.T) {
	posixtest.Run(t, func(t *testing.T) func(posix.Cred) posix.Namespace {
		tr := open(t, twice{mem.New()}, Config{})
		t.Cleanup(func() { settled(t, tr) })
		return func(c posix.Cred) posix.Namespace { return tr.As(c).In(1) }
	})
}

// The same where truncations and reclaiming go two records at a time.
func TestContractSmallSteps(t *testing.T) {
	posixtest.Run(t, func(t *testing.T) func(posix.Cred) posix.Namespace {
		tr := open(t, mem.New(), Config{})
		tr.step = 2
		t.Cleanup(func() { settled(t, tr) })
		return func(c posix.Cred) posix.Namespace { return tr.As(c).In(1) }
	})
}
