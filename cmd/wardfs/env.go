package main

import (
	"context"
	"io"
	"path/filepath"
	"strings"
)

// env is all that a verb has of the process it runs in, so that a test can
// give it another.
type env struct {
	args           []string // with the program's name first
	stdin          io.Reader
	stdout, stderr io.Writer
	environ        []string // as os.Environ has it
}

// getenv is a variable's value, "" if it is not set.
func (e *env) getenv(name string) string {
	for _, v := range e.environ {
		if value, ok := strings.CutPrefix(v, name+"="); ok {
			return value
		}
	}
	return ""
}

// run does what the arguments say, tells on stderr what failed, and answers
// the exit code.
func run(ctx context.Context, e *env) int {
	name := filepath.Base(e.args[0])
	switch {
	case strings.HasPrefix(name, "mount."):
		return runMountHelper(ctx, e)
	case strings.HasPrefix(name, "umount."):
		return runUmountHelper(ctx, e)
	}
	args := e.args[1:]
	root := newRoot(e)
	if calledByMountFuse(root, args) {
		args = append([]string{"mount"}, args...)
	}
	root.SetArgs(args)
	return tell(e, root.ExecuteContext(ctx))
}
