package main

import (
	"path/filepath"

	"github.com/wardfs/wardfs/cmd/wardfs/config"
	"github.com/wardfs/wardfs/server/audit"
)

// auditFile is where a server's audit log is; empty if it writes none.
func auditFile(c *config.Config) string {
	if !c.Audit.Enabled {
		return ""
	}
	return orJoin(c.Audit.File, c.Dir, "audit.log")
}

// auditConfig is what a configuration says of the audit log; nil if there is
// to be none.
func auditConfig(c *config.Config) *audit.Config {
	if !c.Audit.Enabled {
		return nil
	}
	a := &audit.Config{
		Path: auditFile(c), Mode: uint32(c.Audit.Mode), Operations: c.Audit.Operations, Results: c.Audit.Results,
		MaxSize: int64(c.Audit.MaxSize), MaxAge: c.Audit.MaxAge, Keep: int(c.Audit.Keep), KeepFor: c.Audit.KeepFor, Queue: int(c.Audit.Queue),
		OnFull: audit.Block, OnError: audit.Drop,
	}
	if c.Audit.Format == "json" {
		a.Format = audit.JSON
	}
	if c.Audit.OnFull == "drop" {
		a.OnFull = audit.Drop
	}
	if c.Audit.OnError == "block" {
		a.OnError = audit.Block
	}
	return a
}

// absoluteOr is a path for those who run in another folder.
func absoluteOr(path string) string {
	if abs, err := filepath.Abs(path); err == nil && path != "" {
		return abs
	}
	return path
}
