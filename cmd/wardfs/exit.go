package main

import (
	"errors"
	"fmt"
	iofs "io/fs"
	"strings"
	"syscall"

	"github.com/wardfs/wardfs/cmd/wardfs/config"
	"github.com/wardfs/wardfs/cmd/wardfs/fs"
	"github.com/wardfs/wardfs/cmd/wardfs/mountopt"
	"github.com/wardfs/wardfs/identity"
	"github.com/wardfs/wardfs/identity/certs"
	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/audit"
	"github.com/wardfs/wardfs/server/chunk"
	"github.com/wardfs/wardfs/server/engine/pebble"
)

// The exit codes. They are part of the contract with scripts: a number is
// never given another meaning. docs/cli.md and `wardfs help exit-codes` list
// them.
const (
	exitOK          = 0
	exitFailure     = 1
	exitUsage       = 2
	exitConfig      = 3
	exitUnreachable = 4
	exitRefused     = 5
	exitMountPoint  = 6
	exitInUse       = 7
	exitDamage      = 8
	exitFull        = 9
	exitNotMounted  = 10
)

var exitCodes = []struct {
	code int
	text string
}{
	{exitOK, "it was done"},
	{exitFailure, "it failed for a reason that has no code of its own"},
	{exitUsage, "the command line is wrong: an unknown verb, flag or mount option"},
	{exitConfig, "the configuration is wrong, or a file that it names can't be used"},
	{exitUnreachable, "no wardfs server answers at that address"},
	{exitRefused, "the server refused us or we refused it: TLS, certificate, identity"},
	{exitMountPoint, "the mount point is missing, no directory, not empty or not ours"},
	{exitInUse, "the data folder, the port or the mount point is in use"},
	{exitDamage, "stored data is damaged"},
	{exitFull, "the disk is full"},
	{exitNotMounted, "nothing of wardfs is mounted or running there"},
}

// failure is an error with a code and the next step. Text is one line.
type failure struct {
	code       int
	text, next string
	err        error
}

func (f *failure) Error() string { return f.text }
func (f *failure) Hint() string  { return f.next }
func (f *failure) Unwrap() error { return f.err }

func fail(code int, next, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &failure{code, err.Error(), next, errors.Unwrap(err)}
}

func usage(next, format string, args ...any) error { return fail(exitUsage, next, format, args...) }

// exitCode maps an error to its code.
func exitCode(err error) int {
	var f *failure
	var c *config.Error
	var o *mountopt.Error
	var t *certs.Error
	var a *audit.OpenError
	var u *fs.Usage
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &f):
		return f.code
	case errors.As(err, &c):
		return exitConfig
	case errors.As(err, &o):
		return exitUsage
	case errors.As(err, &t):
		return certsCode(t)
	case errors.As(err, &a):
		return exitConfig
	case errors.As(err, &u):
		return exitUsage
	case errors.Is(err, identity.ErrRefused):
		return exitRefused
	case errors.Is(err, chunk.ErrCorrupt), errors.Is(err, pebble.ErrDamaged):
		return exitDamage
	case errors.Is(err, syscall.EADDRINUSE):
		return exitInUse
	}
	return errnoCode(posix.ErrnoOf(err))
}

func certsCode(e *certs.Error) int {
	switch e.Errno {
	case posix.EHOSTDOWN, posix.ETIMEDOUT, posix.EPROTO:
		return exitUnreachable
	case posix.ENOENT, posix.EINVAL, posix.EIO:
		return exitConfig
	}
	return exitRefused
}

func errnoCode(e posix.Errno) int {
	switch e {
	case posix.EHOSTDOWN, posix.ETIMEDOUT:
		return exitUnreachable
	case posix.EACCES, posix.EPERM, posix.ENOKEY, posix.EKEYEXPIRED, posix.EKEYREVOKED:
		return exitRefused
	case posix.EBUSY:
		return exitInUse
	case posix.ENOSPC, posix.EDQUOT:
		return exitFull
	}
	return exitFailure
}

// tell prints what failed, one line for each cause and one for each next step,
// and answers the exit code.
func tell(e *env, err error) int {
	if code, was := silenced(err); was || err == nil {
		return code
	}
	for _, one := range flatten(err) {
		fmt.Fprintln(e.stderr, "wardfs: "+oneLine(plain(one)))
		if h := hint(one); h != "" {
			fmt.Fprintln(e.stderr, "wardfs: hint: "+oneLine(h))
		}
	}
	return exitCode(err)
}

// flatten takes apart what errors.Join put together at the top.
func flatten(err error) []error {
	if j, ok := err.(interface{ Unwrap() []error }); ok {
		if _, isOne := err.(interface{ Hint() string }); !isOne && strings.Contains(err.Error(), "\n") {
			var all []error
			for _, e := range j.Unwrap() {
				all = append(all, flatten(e)...)
			}
			return all
		}
	}
	return []error{err}
}

// plain is the text of an error, the system's own names for causes included.
func plain(err error) string {
	if p := (*iofs.PathError)(nil); errors.As(err, &p) && err == error(p) {
		return fmt.Sprintf("%s: %s", p.Path, p.Err)
	}
	return err.Error()
}

// oneLine keeps a message on its line, whatever a server or a file put in it.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}

func hint(err error) string {
	if h, ok := errors.AsType[interface {
		error
		Hint() string
	}](err); ok {
		return h.Hint()
	}
	return ""
}
