// Package fs is the verbs of `wardfs fs`: what the shell's tools do to files,
// done over the wire, for hosts without FUSE and for administrators. A verb's
// output has the shape of its tool's.
//
// It refuses to know how a server is reached: whoever runs a verb gives it an
// [Env], whose Open turns a PATH into a [Place]. And it judges nothing: the
// server does.
//
//	root.AddCommand(fs.Commands(env)...)
package fs

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/wardfs/wardfs/acl"
	"github.com/wardfs/wardfs/client/file"
	"github.com/wardfs/wardfs/posix"
)

// Env is what a verb has of the world.
type Env struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Open reaches the tree that a PATH lies in. What it opens stays open until
	// the verb has ended, and is opened once for all PATHs of one tree.
	Open func(ctx context.Context, path string) (Place, error)
	// Report tells of one thing that went wrong; the verb goes on, and ends
	// with the first one's exit code.
	Report func(error)
	// Args checks how many words a verb got: at least one for each of names, at
	// most that many unless the last ends in "...".
	Args func(names string) cobra.PositionalArgs
}

// Tree is a namespace on a server, as who runs the verb.
type Tree struct {
	// Namespace is the server's, with what is buffered here showing.
	posix.Namespace
	// Bare is the server's alone, as [file.Files.Open] wants it.
	Bare  posix.Namespace
	Files *file.Files
	Names acl.Names
	Me    posix.Cred
	// Mounted is where the tree's Top is mounted on this host, empty if that
	// is not known: absolute symbolic links that lead below it can be followed.
	Mounted string
	// Top is the directory of the server that paths begin at, "/" for all of it.
	Top string
}

// Place is a PATH of the command line.
type Place struct {
	*Tree
	Path  string // from the tree's Top on, uncleaned: ".." may follow a symbolic link
	Shown string // as it was written
}

// in is the place of an entry of the directory p.
func (p Place) in(name string) Place {
	join := func(dir string) string {
		if dir == "" || dir[len(dir)-1] == '/' {
			return dir + name
		}
		return dir + "/" + name
	}
	return Place{p.Tree, join(p.Path), join(p.Shown)}
}

// Commands are the verbs.
func Commands(e *Env) []*cobra.Command {
	return []*cobra.Command{
		newLs(e), newStat(e), newCat(e), newDu(e), newGet(e), newPut(e), newMkdir(e), newRm(e), newMv(e), newLn(e), newTouch(e),
		newChmod(e), newChown(e), newChgrp(e), newGetfacl(e), newSetfacl(e),
	}
}

// each does f for every PATH, and goes on after one that failed.
func (e *Env) each(ctx context.Context, paths []string, f func(Place) error) {
	for _, path := range paths {
		p, err := e.Open(ctx, path)
		if err == nil {
			err = f(p)
		}
		if err != nil {
			e.Report(wrap(path, err))
		}
		if ctx.Err() != nil {
			return
		}
	}
}

// block is how much data is moved at once, in bytes.
const block = posix.BlockSize
