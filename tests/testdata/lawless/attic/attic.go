// Package attic breaks the import law on purpose.
package attic

import (
	_ "fmt"
)
