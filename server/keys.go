package server

import (
	"context"
	"fmt"
	"io"

	"github.com/wardfs/wardfs/server/capability"
	"github.com/wardfs/wardfs/server/engine"
)

// The keys that sign capabilities and tickets lie in the engine, under
// 'K' + number, so that tickets survive a restart.
const keyPrefix = 'K'

// loadRing reads the signing key, or makes the first.
func loadRing(ctx context.Context, e engine.Engine, rand io.Reader) (capability.Ring, error) {
	fresh, err := capability.NewKey(1, rand)
	if err != nil {
		return nil, err
	}
	var ring capability.Ring
	at := []byte{keyPrefix, 0, 0, 0, 1}
	err = e.Update(ctx, func(tx engine.Tx) error {
		v, ok, err := tx.Get(at)
		if err != nil {
			return err
		}
		if !ok {
			tx.Put(at, fresh.Secret[:])
			ring = capability.Ring{fresh}
			return nil
		}
		if len(v) != len(fresh.Secret) {
			return fmt.Errorf("server: the capability key has %d bytes, not %d", len(v), len(fresh.Secret))
		}
		ring = capability.Ring{{Number: 1, Secret: [32]byte(v)}}
		return nil
	})
	return ring, err
}
