package server

import (
	"slices"
	"strings"
	"testing"

	"github.com/wardfs/wardfs/proto"
	"github.com/wardfs/wardfs/server/audit"
)

// Every call of the wire has its place in the filter of the audit log, so that
// none is forgotten when it is new.
func TestAuditKnowsEveryCall(t *testing.T) {
	known := audit.Operations()
	// What gives a session back what it had is no operation of a user.
	known = append(known, "reclaim", "reclaimlock", "reclaimed")
	fields := new(proto.Call).ProtoReflect().Descriptor().Oneofs().ByName("op").Fields()
	if fields.Len() < 30 {
		t.Fatalf("%d calls", fields.Len())
	}
	for i := range fields.Len() {
		if op := strings.ReplaceAll(string(fields.Get(i).Name()), "_", ""); !slices.Contains(known, op) {
			t.Errorf("%q is in no group of server/audit/filter.go", op)
		}
	}
}
