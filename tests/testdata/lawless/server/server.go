// Package server breaks the import law on purpose.
package server

import (
	_ "github.com/hanwen/go-fuse/v2/fuse"
)
