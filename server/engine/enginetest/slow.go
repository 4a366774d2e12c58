//go:build !race

package enginetest

// Slow is whether the race detector is on. Pebble then checks itself at every
// step, and tests that try each case may try one in some: the rest is for the
// run without.
const Slow = false
