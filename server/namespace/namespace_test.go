package namespace

import (
	"testing"

	"github.com/wardfs/wardfs/server/engine"
)

// open opens a tree.
func open(t *testing.T, e engine.Engine, c Config) *Tree {
	t.Helper()
	c.Engine = e
	tr, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}
