package coherence

import (
	"testing"

	"github.com/wardfs/wardfs/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m, nil) }

// believing is a mount that believes for an hour what it is not told.
const believing = "attr_timeout=3600,entry_timeout=3600,negative_timeout=3600"

func TestCloseToOpen(t *testing.T) {
	w := harness.Start(t)
	CloseToOpen(t, [2]string{w.Mount(), w.SecondMount(t)})
}

func TestTold(t *testing.T) {
	w := harness.Start(t)
	Told(t, w.Mount(), w.SecondMount(t, believing))
}

func TestStorm(t *testing.T) {
	w := harness.Start(t)
	Storm(t, [2]string{w.SecondMount(t, believing), w.SecondMount(t, believing)}, 4, 400)
}

func TestWarm(t *testing.T) {
	w := harness.Start(t)
	there := w.SecondMount(t, believing)
	Warm(t, w.Mount(), there)
	Warm(t, there, w.Mount())
}

func TestShut(t *testing.T) {
	w := harness.Start(t)
	Shut(t, w.Mount(), w.SecondMount(t))
	Shut(t, w.Mount(), w.SecondMount(t, "permissions=server"))
}

func TestFrozen(t *testing.T) {
	s := harness.StartServer(t)
	there := s.Mount(t)
	Frozen(t, s.Mount(t).Path(), there.Path(), there.Pid())
}

func TestRestarted(t *testing.T) {
	s := harness.StartServer(t)
	Restarted(t, s.Mount(t).Path(), s.Mount(t).Path(), func() { s.Kill9(); s.Up(t) })
}
