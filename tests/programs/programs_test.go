package programs

import (
	"testing"

	"github.com/wardfs/wardfs/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m, nil) }

func TestLocal(t *testing.T) { Run(t, harness.LocalDir(t)) }

func TestMount(t *testing.T) { Run(t, harness.Start(t).Mount()) }
