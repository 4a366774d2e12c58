//go:build race

package enginetest

// Slow is whether the race detector is on.
const Slow = true
