package harness

import (
	"errors"
	"flag"
	"time"
)

var full = flag.Bool("full", false, "run the tests at their full size: minutes each, instead of seconds")

// Full reports whether the tests run at their full size.
func Full() bool { return *full }

// Size is short, or long at the full size.
func Size[T any](short, long T) T {
	if Full() {
		return long
	}
	return short
}

// Until asks f until it answers nil, for as long as a busy machine may need,
// and answers what it said last. It is for what has no event to wait for: what
// another mount comes to see.
func Until(f func() error) error {
	late := time.Now().Add(patience)
	for {
		err := f()
		if err == nil || time.Now().After(late) {
			return err
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// ErrNotYet is for f of Until to answer where there is nothing more to say.
var ErrNotYet = errors.New("not yet")
