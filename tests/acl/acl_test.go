package acl

import (
	"flag"
	"testing"

	"github.com/wardfs/wardfs/tests/harness"
)

var (
	steps = flag.Int("steps", 3000, "how long the walks are")
	seed  = flag.Uint64("seed", 1, "which walks they are")
)

func TestMain(m *testing.M) { harness.Main(m, nil) }

// The kernel and the server judge, as it is by default.
func TestWalk(t *testing.T) {
	disk := harness.LocalDir(t)
	Walk(t, disk, harness.Start(t).Mount(), false, *seed, *steps)
}

// The server judges alone.
func TestWalkServer(t *testing.T) {
	disk := harness.LocalDir(t)
	Walk(t, disk, harness.Start(t, "-o", "permissions=server").Mount(), true, *seed+1000, *steps/3)
}
