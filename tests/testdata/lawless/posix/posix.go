// Package posix breaks the import law on purpose.
package posix

import (
	_ "github.com/wardfs/wardfs/tests/testdata/lawless/client"
	_ "os"
)
