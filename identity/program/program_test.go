package program

import (
	"errors"
	"os/exec"
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	for name, c := range map[string]struct {
		script, want string
		fails        string
	}{
		"prints":       {"printf yes", "yes", ""},
		"to the brim":  {"printf 0123456789", "0123456789", ""},
		"too much":     {"printf 0123456789x", "", ErrLong.Error()},
		"without end":  {"head -c 10000000 /dev/zero", "", ErrLong.Error()},
		"complains":    {"printf 'no key\\nmore' >&2; exit 3", "", "exit status 3: no key"},
		"with control": {"printf '\\033[2Jgone' >&2; exit 1", "", "exit status 1: ?[2Jgone"},
		"at length":    {"head -c 100000 /dev/zero | tr '\\0' x >&2; exit 1", "", "x…"},
	} {
		out, err := Run(exec.Command("sh", "-c", c.script), 10)
		if string(out) != c.want || (err == nil) != (c.fails == "") || err != nil && (!strings.Contains(err.Error(), c.fails) || len(err.Error()) > 300) {
			t.Errorf("%s: %q, %.400v", name, out, err)
		}
	}
	if _, err := Run(exec.Command("/nowhere"), 10); err == nil || errors.Is(err, ErrLong) {
		t.Errorf("a program that is not there: %v", err)
	}
}
