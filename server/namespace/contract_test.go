package namespace

import (
	"testing"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/posix/posixtest"
	"github.com/wardfs/wardfs/server/engine/mem"
)

func TestContract(t *testing.T) {
	posixtest.Run(t, func(t *testing.T) func(posix.Cred) posix.Namespace {
		tr := open(t, mem.New(), Config{})
		return func(c posix.Cred) posix.Namespace { return tr.As(c).In(1) }
	})
}
