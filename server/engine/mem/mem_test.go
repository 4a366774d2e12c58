package mem_test

import (
	"testing"

	"github.com/wardfs/wardfs/server/engine"
	"github.com/wardfs/wardfs/server/engine/enginetest"
	"github.com/wardfs/wardfs/server/engine/mem"
)

func TestContract(t *testing.T) {
	enginetest.Run(t, func(t *testing.T) engine.Engine { return mem.New() })
}

func TestContractOnDisk(t *testing.T) {
	enginetest.Run(t, func(t *testing.T) engine.Engine { return mem.NewDisk().Open() })
}
