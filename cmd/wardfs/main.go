// Command wardfs is the whole product: the server, the mount, and the commands
// to run both. This package is composition only: it reads flags, environment
// and files, chooses the bodies of every seam, and wires them. See docs/cli.md.
package main

import (
	"context"
	"os"
)

// version is set by the linker: -X main.version=v1.2.3.
var version = "dev"

func main() {
	e := &env{args: os.Args, stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, environ: os.Environ()}
	os.Exit(run(context.Background(), e))
}
