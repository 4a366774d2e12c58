// Package shapeless breaks the rules of shape on purpose.
package shapeless

import (
	"errors"
	"sync"
)

var ErrNot = errors.New("shapeless: a sentinel is no state")

var constant = [...]string{"a", "table"}

var shadowed = 1

var (
	counter int
	table   = map[string]int{}
	pointed int
	lock    sync.Mutex
)

func init() { counter++ }

func change() *int {
	table["x"] = 1
	var shadowed int
	shadowed = 2
	_, _ = shadowed, constant
	return &pointed
}

func long() {
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
	change()
}
