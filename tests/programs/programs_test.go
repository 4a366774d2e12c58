package programs

import (
	"testing"

	"github.com/wardfs/wardfs/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m, nil) }

// On the local disk this asks whether the stories are true.
func TestLocal(t *testing.T) { Run(t, harness.LocalDir(t), Quick) }

func TestMount(t *testing.T) { Run(t, harness.Start(t).Mount(), All) }

func TestPostgres(t *testing.T) {
	w := harness.Start(t)
	Postgres(t, w.Mount())
}
