package chunktest

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/wardfs/wardfs/server/chunk"
)

// testAtomic reads a block over and over while it appears: it is there whole
// or not at all.
func testAtomic(t *testing.T, b Body) {
	s := b.open(t)
	const size = 200_000
	for i := range 20 {
		data := Bytes(i, size)
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				got := make([]byte, size)
				for {
					err := s.Get(ctx, ID(i), 0, got)
					if err == nil && bytes.Equal(got, data) {
						return
					}
					if !errors.Is(err, chunk.ErrNotFound) {
						t.Errorf("get while it is put: %v", err)
						return
					}
				}
			})
		}
		put(t, s, ID(i), data)
		wg.Wait()
	}
}

// testSamePut puts one name from many sides: one content wins and stays.
func testSamePut(t *testing.T, b Body) {
	s := b.open(t)
	for i := range 30 {
		var wg sync.WaitGroup
		errs := make([]error, 8)
		for w := range errs {
			wg.Go(func() { errs[w] = s.Put(ctx, ID(i), [][]byte{Bytes(w/4, 3000)}) })
		}
		wg.Wait()
		winner := -1
		for w, err := range errs {
			switch {
			case err != nil && !errors.Is(err, chunk.ErrExists):
				t.Fatalf("put: %v", err)
			case err == nil && winner >= 0 && winner != w/4:
				t.Fatal("both contents were accepted")
			case err == nil:
				winner = w / 4
			}
		}
		if winner < 0 {
			t.Fatal("no content was accepted")
		}
		for w, err := range errs {
			if (err == nil) != (w/4 == winner) {
				t.Fatalf("put of content %d answered %v, but %d was accepted", w/4, err, winner)
			}
		}
		want(t, s, ID(i), 0, Bytes(winner, 3000))
	}
}

// testBusy has many goroutines use the store, each on names of its own, while
// others sync, list and read what they may.
func testBusy(t *testing.T, b Body) {
	s := b.open(t)
	const workers, rounds = 8, 60
	stop := make(chan struct{})
	var wg, watchers sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			if err := work(s, w, rounds); err != nil {
				t.Error(err)
			}
		})
	}
	watchers.Go(func() { watch(t, s, stop) })
	wg.Wait()
	close(stop)
	watchers.Wait()
	for w := range workers {
		for i := range 10 {
			id, data := workID(w, i)
			if err := s.Get(ctx, id, 0, make([]byte, len(data))); err != nil && !errors.Is(err, chunk.ErrNotFound) {
				t.Errorf("%s: %v", id, err)
			}
		}
	}
}

func workID(w, i int) (chunk.BlockID, []byte) {
	n := w*100 + i
	return ID(n), Bytes(n, 100+n*97%60_000)
}

// work puts, reads and deletes ten names.
func work(s chunk.Store, w, rounds int) error {
	r := rand.New(rand.NewPCG(uint64(w), 1))
	there := map[int]bool{}
	for range rounds {
		i := r.IntN(10)
		id, data := workID(w, i)
		var err error
		switch r.IntN(4) {
		case 0:
			err = s.Delete(ctx, id)
			there[i] = false
		case 1:
			err = s.Sync(ctx)
		default:
			err = s.Put(ctx, id, [][]byte{data[:50], data[50:]})
			there[i] = true
		}
		if err != nil {
			return fmt.Errorf("worker %d: %w", w, err)
		}
		got := make([]byte, len(data))
		err = s.Get(ctx, id, 0, got)
		if there[i] && (err != nil || !bytes.Equal(got, data)) || !there[i] && !errors.Is(err, chunk.ErrNotFound) {
			return fmt.Errorf("worker %d: get of %s (there: %v): %v", w, id, there[i], err)
		}
	}
	return nil
}

// watch lists and reads until stop.
func watch(t *testing.T, s chunk.Store, stop chan struct{}) {
	for {
		select {
		case <-stop:
			return
		default:
		}
		var some []chunk.Info
		if err := s.List(ctx, func(i chunk.Info) bool { some = append(some, i); return true }); err != nil {
			t.Errorf("list: %v", err)
			return
		}
		for _, i := range some {
			if err := s.Get(ctx, i.ID, 0, make([]byte, i.Size)); err != nil && !errors.Is(err, chunk.ErrNotFound) {
				t.Errorf("get of a listed block: %v", err)
				return
			}
		}
	}
}

// testModel does random operations on the store and on a map, and compares.
func testModel(t *testing.T, b Body) {
	for seed := range uint64(4) {
		s := b.open(t)
		r := rand.New(rand.NewPCG(seed, 7))
		model := map[chunk.BlockID][]byte{}
		for range 1500 {
			step(t, s, model, r)
		}
		seen := list(t, s)
		if len(seen) != len(model) {
			t.Fatalf("%d blocks are listed, want %d", len(seen), len(model))
		}
		for id, data := range model {
			if seen[id].Size != uint32(len(data)) {
				t.Fatalf("%s is listed as %+v, want %d bytes", id, seen[id], len(data))
			}
			want(t, s, id, 0, data)
		}
	}
}

func step(t *testing.T, s chunk.Store, model map[chunk.BlockID][]byte, r *rand.Rand) {
	t.Helper()
	id := ID(r.IntN(60))
	have, ok := model[id]
	switch r.IntN(6) {
	case 0:
		if err := s.Delete(ctx, id); err != nil {
			t.Fatal(err)
		}
		delete(model, id)
	case 1:
		if err := s.Sync(ctx); err != nil {
			t.Fatal(err)
		}
	case 2, 3:
		data := Bytes(r.IntN(3), 1+r.IntN(3)*r.IntN(40_000))
		err := s.Put(ctx, id, [][]byte{data})
		if ok && !bytes.Equal(have, data) {
			wantErr(t, err, chunk.ErrExists)
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		model[id] = data
	default:
		if !ok {
			missing(t, s, id)
			return
		}
		from := r.IntN(len(have))
		want(t, s, id, from, have[from:from+r.IntN(len(have)-from+1)])
	}
}
