//go:build cgo && !osusergo

package nss

// Package os/user asks the C library.
const full = true
