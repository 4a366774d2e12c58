package acl_test

import (
	"fmt"

	"github.com/wardfs/wardfs/acl"
	"github.com/wardfs/wardfs/posix"
)

// A file of user 1 in group 10 that user 1000 may read too, and then, when the
// mask is narrowed by chmod, may not.
func Example() {
	l, _, err := acl.ParseText("u::rw-,u:1000:r--,g::---,m::r--,o::---", acl.Names{})
	if err != nil {
		fmt.Println(err)
		return
	}
	mode, l := acl.Apply(posix.TypeReg, l)
	a := posix.Attr{Mode: mode, UID: 1, GID: 10}
	who := posix.Cred{UID: 1000, GID: 1000}
	fmt.Printf("%o %v %v\n", a.Mode.Perm(), l, acl.Check(a, l, who, posix.MayRead))

	a.Mode, l = posix.TypeReg|0o600, l.Chmod(0o600)
	fmt.Printf("%o %v %v\n", a.Mode.Perm(), l, acl.Check(a, l, who, posix.MayRead))
	// Output:
	// 640 u::rw-,u:1000:r--,g::---,m::r--,o::--- true
	// 600 u::rw-,u:1000:r--,g::---,m::---,o::--- false
}
