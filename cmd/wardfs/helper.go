package main

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/wardfs/wardfs/cmd/wardfs/mountopt"
)

// The codes of mount(8), which its helpers answer too.
const (
	mountUsage   = 1
	mountFailure = 32
)

// helperArgs are the arguments that mount(8) gives its helpers:
//
//	mount.wardfs SPEC DIR [-sfnv] [-N namespace] [-o options] [-t type.subtype]
type helperArgs struct {
	words              []string
	options            []string
	sloppy, fake, lazy bool
	forced, usage      bool
}

// parseHelper reads them. Flags may stand together, values follow or stick.
func parseHelper(args []string) (h helperArgs, err error) {
	for len(args) > 0 {
		a := args[0]
		args = args[1:]
		if len(a) < 2 || a[0] != '-' {
			h.words = append(h.words, a)
			continue
		}
		for i := 1; i < len(a); i++ {
			switch a[i] {
			case 's':
				h.sloppy = true
			case 'f':
				h.fake, h.forced = true, true
			case 'l':
				h.lazy = true
			case 'n', 'v', 'r': // no mtab to write; we say what fails and no more
			case 'h':
				h.usage = true
			case 'o', 't', 'N':
				value := a[i+1:]
				if value == "" {
					if len(args) == 0 {
						return h, usage("", "-%c needs a value", a[i])
					}
					value, args = args[0], args[1:]
				}
				switch a[i] {
				case 'o':
					h.options = append(h.options, value)
				case 'N':
					return h, usage("enter it with nsenter first", "mount namespaces by -N are not supported")
				}
				i = len(a)
			default:
				return h, usage("", "unknown flag %q", "-"+string(a[i]))
			}
		}
	}
	return h, nil
}

// runMountHelper is wardfs under the name mount.wardfs or mount.fuse.wardfs.
func runMountHelper(ctx context.Context, e *env) int {
	name := filepath.Base(e.args[0])
	h, err := parseHelper(e.args[1:])
	if err == nil && h.usage {
		fmt.Fprintf(e.stdout, "usage: %s SERVER[,SERVER...][:/PATH] MNT [-sfnv] [-o OPT,...]\n", name)
		return exitOK
	}
	if err == nil && len(h.words) != 2 {
		err = usage("", "usage: %s SERVER[,SERVER...][:/PATH] MNT [-sfnv] [-o OPT,...]", name)
	}
	if err == nil {
		err = h.mount(ctx, e)
	}
	switch code := tell(e, err); code {
	case exitOK:
		return exitOK
	case exitUsage, exitConfig:
		return mountUsage
	}
	return mountFailure
}

func (h helperArgs) mount(ctx context.Context, e *env) error {
	if h.sloppy {
		for i, o := range h.options {
			h.options[i] = mountopt.Known(o)
		}
	}
	if h.fake {
		_, err := newMounting(h.options, h.words[0], h.words[1], newLogger(e.stderr, "warn", "text"))
		return err
	}
	return runMount(ctx, e, mountFlags{options: h.options, statusFD: -1}, h.words[0], h.words[1])
}

// runUmountHelper is wardfs under the name umount.wardfs or umount.fuse.wardfs.
func runUmountHelper(ctx context.Context, e *env) int {
	h, err := parseHelper(e.args[1:])
	if err == nil && len(h.words) != 1 {
		err = usage("", "usage: %s MNT [-flnrv]", filepath.Base(e.args[0]))
	}
	if err == nil {
		err = runUmount(ctx, e, h.words[0], umountFlags{lazy: h.lazy, force: h.forced})
	}
	switch code := tell(e, err); code {
	case exitOK:
		return exitOK
	case exitUsage:
		return mountUsage
	}
	return mountFailure
}
