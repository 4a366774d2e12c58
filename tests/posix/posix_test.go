package posix

import (
	"testing"

	"github.com/wardfs/wardfs/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m, Children()) }

func TestLocal(t *testing.T) { Run(t, harness.LocalDir(t)) }

func TestMount(t *testing.T) { Run(t, harness.Start(t).Mount()) }

func TestFuzzLocal(t *testing.T) { Fuzz(t, harness.LocalDir(t), 1500) }

func TestFuzzMount(t *testing.T) { Fuzz(t, harness.Start(t).Mount(), 1500) }
