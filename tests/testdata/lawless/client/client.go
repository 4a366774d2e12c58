// Package client breaks the import law on purpose.
package client

import (
	_ "github.com/wardfs/wardfs/tests/testdata/lawless/server"
	_ "testing"
)
