// Package fuse breaks the import law on purpose.
package fuse

import (
	_ "github.com/wardfs/wardfs/tests/testdata/lawless/server"
)
