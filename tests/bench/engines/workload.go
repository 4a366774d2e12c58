package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/wardfs/wardfs/server/engine"
)

const (
	keys      = 100_000
	valueSize = 128  // bytes
	perDir    = 1000 // keys that a scan reads: they share a prefix
)

var background = context.Background()

func key(i int) []byte { return fmt.Appendf(nil, "dir/%04d/entry-%06d", i/perDir, i) }

func value(rng *rand.Rand) []byte {
	v := make([]byte, valueSize)
	for i := range v {
		v[i] = byte(rng.Uint32())
	}
	return v
}

// preload writes all keys, a thousand in a transaction.
func preload(e engine.Engine) error {
	rng := rand.New(rand.NewPCG(1, 1))
	for i := 0; i < keys; i += perDir {
		err := e.Update(background, func(tx engine.Tx) error {
			for j := range perDir {
				tx.Put(key(i+j), value(rng))
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// update reads three random keys and writes them and a fourth: durable.
func update(e engine.Engine, rng *rand.Rand) error {
	var k, v [4][]byte
	for i := range k {
		k[i], v[i] = key(rng.IntN(keys)), value(rng)
	}
	return e.Update(background, func(tx engine.Tx) error {
		for i := range 3 {
			old, ok, err := tx.Get(k[i])
			if err != nil || !ok || len(old) != valueSize {
				return fmt.Errorf("key %s has %d bytes, %v, %v", k[i], len(old), ok, err)
			}
		}
		for i := range k {
			tx.Put(k[i], v[i])
		}
		return nil
	})
}

// scan reads one directory.
func scan(e engine.Engine, rng *rand.Rand) error {
	dir := rng.IntN(keys / perDir)
	lo := fmt.Appendf(nil, "dir/%04d/", dir)
	return e.View(background, func(r engine.Reader) error {
		n := 0
		err := r.Scan(lo, engine.Successor(lo), func(_, v []byte) bool { n++; return len(v) == valueSize })
		if err == nil && n != perDir {
			err = fmt.Errorf("directory %d has %d entries", dir, n)
		}
		return err
	})
}

// result is what one run gave.
type result struct {
	rate     float64 // per second
	p50, p99 time.Duration
}

// measure has workers do op for so long.
func measure(e engine.Engine, workers int, d time.Duration, op func(engine.Engine, *rand.Rand) error) (result, error) {
	all := make([][]time.Duration, workers)
	errs := make([]error, workers)
	var wg sync.WaitGroup
	begin := time.Now()
	for w := range workers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			rng := rand.New(rand.NewPCG(uint64(begin.UnixNano()), uint64(w)))
			for time.Since(begin) < d && errs[w] == nil {
				start := time.Now()
				errs[w] = op(e, rng)
				all[w] = append(all[w], time.Since(start))
			}
		}()
	}
	wg.Wait()
	took := time.Since(begin)
	for _, err := range errs {
		if err != nil {
			return result{}, err
		}
	}
	each := slices.Concat(all...)
	slices.Sort(each)
	n := len(each)
	return result{float64(n) / took.Seconds(), each[n/2], each[n*99/100]}, nil
}
