package pebble

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/wardfs/wardfs/server/engine"
)

const benchKeys = 100_000

func benchKey(i int) []byte { return binary.BigEndian.AppendUint64([]byte("key/"), uint64(i)) }

// benchStore has keys with values of 128 bytes.
func benchStore(b *testing.B) *DB {
	b.Helper()
	db := mustOpen(b, Config{Dir: b.TempDir()})
	b.Cleanup(func() {
		if err := db.Close(); err != nil {
			b.Error(err)
		}
	})
	for i := 0; i < benchKeys; i += 1000 {
		err := db.Update(background, func(tx engine.Tx) error {
			for j := range 1000 {
				tx.Put(benchKey(i+j), make([]byte, 128))
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	return db
}

// readThreeWriteFour is what an operation of the namespace comes to.
func readThreeWriteFour(b *testing.B, db *DB, rng *rand.Rand) {
	var keys [4][]byte
	for i := range keys {
		keys[i] = benchKey(rng.IntN(benchKeys))
	}
	value := make([]byte, 128)
	err := db.Update(background, func(tx engine.Tx) error {
		for _, k := range keys[:3] {
			if _, ok, err := tx.Get(k); !ok || err != nil {
				b.Errorf("%x: %v, %v", k, ok, err)
			}
		}
		for _, k := range keys {
			tx.Put(k, value)
		}
		return nil
	})
	if err != nil {
		b.Error(err)
	}
}

func BenchmarkUpdate1(b *testing.B) {
	db := benchStore(b)
	rng := rand.New(rand.NewPCG(1, 1))
	for b.Loop() {
		readThreeWriteFour(b, db, rng)
	}
}

func BenchmarkUpdate16(b *testing.B) {
	db := benchStore(b)
	b.SetParallelism(8) // of 2 processors
	b.RunParallel(func(p *testing.PB) {
		rng := rand.New(rand.NewPCG(rand.Uint64(), 1))
		for p.Next() {
			readThreeWriteFour(b, db, rng)
		}
	})
	s := db.Stats()
	b.ReportMetric(float64(s.Commits)/float64(s.Syncs), "commits/sync")
}

func BenchmarkGet(b *testing.B) {
	db := benchStore(b)
	rng := rand.New(rand.NewPCG(1, 1))
	for b.Loop() {
		if err := db.View(background, func(r engine.Reader) error {
			_, ok, err := r.Get(benchKey(rng.IntN(benchKeys)))
			if !ok {
				b.Error("not there")
			}
			return err
		}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkScan1000(b *testing.B) {
	db := benchStore(b)
	rng := rand.New(rand.NewPCG(1, 1))
	for b.Loop() {
		i, n := rng.IntN(benchKeys-1000), 0
		if err := db.View(background, func(r engine.Reader) error {
			return r.Scan(benchKey(i), benchKey(i+1000), func(_, _ []byte) bool { n++; return true })
		}); err != nil || n != 1000 {
			b.Fatal(n, err)
		}
	}
}
