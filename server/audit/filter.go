package audit

import (
	"fmt"
	"slices"

	"github.com/wardfs/wardfs/posix"
)

// groups are the names under which operations are asked for together. Those
// that no group has are written only when they are denied, or named.
var groups = map[string][]string{
	// What changes the namespace or a file.
	"write": {"setattr", "mkdir", "mknod", "symlink", "link", "unlink", "rmdir", "rename", "create", "tmpfile",
		"commit", "setxattr", "removexattr", "allocate", "copyrange"},
	// What shows what is in a file or a directory.
	"read": {"open", "readdir", "readlink", "getxattr", "listxattr"},
	// What a kernel asks all the time to find its way.
	"stat": {"lookup", "getattr", "access", "statfs", "close", "layout", "reopened"},
	"lock": {"getlk", "setlk", "unlock"},
	// Who came and went.
	"session": {"attach", "detach"},
	"admin":   {"sessions", "evict", "quota", "tokenissue", "tokenrenew", "tokencancel", "tokenlist"},
	"owners":  {"ids", "names", "whoami"},
}

// DefaultOperations are those that are written unless others are asked for.
func DefaultOperations() []string { return []string{"write", "read", "session", "admin"} }

// Operations are all names that [Config.Operations] may have.
func Operations() (all []string) {
	for g, ops := range groups {
		all = append(append(all, g), ops...)
	}
	slices.Sort(all)
	return append([]string{"all"}, all...)
}

// Results are all that [Config.Results] may have.
func Results() []string { return []string{"succeeded", "failed", "denied"} }

// filter says which records are written.
type filter struct {
	all                       bool
	ops                       map[string]bool
	succeeded, failed, denied bool
}

func newFilter(ops, results []string) (filter, error) {
	f := filter{ops: map[string]bool{}}
	if ops == nil {
		ops = DefaultOperations()
	}
	if results == nil {
		results = Results()
	}
	known := Operations()
	for _, o := range ops {
		if !slices.Contains(known, o) {
			return f, fmt.Errorf("audit: unknown operation %q; there are %v", o, known)
		}
		f.all = f.all || o == "all"
		for _, one := range groups[o] {
			f.ops[one] = true
		}
		f.ops[o] = true
	}
	for _, r := range results {
		switch r {
		case "succeeded":
			f.succeeded = true
		case "failed":
			f.failed = true
		case "denied":
			f.denied = true
		default:
			return f, fmt.Errorf("audit: unknown result %q; there are %v", r, Results())
		}
	}
	return f, nil
}

func (f *filter) wantsAny(op string) bool { return f.denied || f.all || f.ops[op] }

func (f *filter) wants(op string, e posix.Errno) bool {
	switch {
	case e == 0:
		return f.succeeded && (f.all || f.ops[op])
	case Denied(e):
		return f.denied
	}
	return f.failed && (f.all || f.ops[op])
}
