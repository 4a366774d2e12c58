package posix

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"time"
)

// Each errno has a name and a text of its own.
func TestErrnoTable(t *testing.T) {
	names, texts := map[string]Errno{}, map[string]Errno{}
	for e := Errno(1); e < NumErrno; e++ {
		name, text := e.String(), e.Error()
		if !strings.HasPrefix(name, "E") || text == "" || text == name {
			t.Errorf("errno %d is %q, %q", e, name, text)
		}
		if was, twice := names[name]; twice {
			t.Errorf("errnos %d and %d are both %s", was, e, name)
		}
		if was, twice := texts[text]; twice {
			t.Errorf("errnos %d and %d both say %q", was, e, text)
		}
		names[name], texts[text] = e, e
	}
	if got := NumErrno.String(); got != fmt.Sprint("errno ", uint16(NumErrno)) {
		t.Errorf("one too many is %q", got)
	}
}

func TestErrnoOf(t *testing.T) {
	cause := errors.New("disk on fire")
	past, cancel := context.WithDeadline(context.Background(), time.Unix(0, 0))
	defer cancel()
	for _, c := range []struct {
		want Errno
		err  error
	}{
		{0, nil},
		{ENOENT, ENOENT},
		{ENOENT, E("open", ENOENT, nil)},
		{ENOENT, fmt.Errorf("while: %w", E("open", ENOENT, cause))},
		{ENOSPC, fmt.Errorf("write: %w", ENOSPC)},
		{EACCES, E("open", EACCES, ENOSPC)}, // the outer one is the answer
		{EINTR, context.Canceled},
		{EINTR, fmt.Errorf("while: %w", context.Canceled)},
		{ETIMEDOUT, past.Err()},
		{EIO, cause},
		{EIO, fs.ErrNotExist}, // an error of this host is none of the caller's
	} {
		if got := ErrnoOf(c.err); got != c.want {
			t.Errorf("%v: %v, want %v", c.err, got, c.want)
		}
	}
}

func TestError(t *testing.T) {
	cause := errors.New("disk on fire")
	err := E("rename", EIO, cause)
	for _, target := range []error{EIO, cause} {
		if !errors.Is(err, target) {
			t.Errorf("%v is not %v", err, target)
		}
	}
	if errors.Is(err, ENOENT) || errors.Is(E("x", EIO, nil), cause) {
		t.Error("an error is what it is not")
	}
	for _, c := range []struct {
		want string
		err  error
	}{
		{"rename: input/output error: disk on fire", err},
		{"rename: directory not empty", E("rename", ENOTEMPTY, nil)},
		{"rename: directory not empty", E("rename", ENOTEMPTY, ENOTEMPTY)}, // not said twice
	} {
		if c.err.Error() != c.want {
			t.Errorf("%q, want %q", c.err, c.want)
		}
	}
}
