package enginetest

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/wardfs/wardfs/server/engine"
)

// model makes random transactions on the engine and on a map, and compares
// every answer.
func model(e engine.Engine) error {
	rng := rand.New(rand.NewPCG(7, 42))
	state := map[string]string{}
	for i := range 400 {
		next := maps.Clone(state)
		refuse := rng.IntN(5) == 0
		err := e.Update(background, func(tx engine.Tx) error {
			for range 1 + rng.IntN(20) {
				if err := step(rng, tx, next); err != nil {
					return fmt.Errorf("transaction %d: %w", i, err)
				}
			}
			if refuse {
				return errMine
			}
			return nil
		})
		switch {
		case refuse && err == errMine:
		case !refuse && err == nil:
			state = next
		default:
			return fmt.Errorf("transaction %d: %w", i, err)
		}
		err = e.View(background, func(r engine.Reader) error {
			return compareRange(r, state, nil, nil)
		})
		if err != nil {
			return fmt.Errorf("after transaction %d: %w", i, err)
		}
	}
	return nil
}

// step does one random thing in both.
func step(rng *rand.Rand, tx engine.Tx, m map[string]string) error {
	key := randomKey(rng)
	switch rng.IntN(6) {
	case 0, 1:
		v := strings.Repeat(string(rune('a'+rng.IntN(26))), rng.IntN(40))
		tx.Put([]byte(key), []byte(v))
		m[key] = v
	case 2:
		tx.Delete([]byte(key))
		delete(m, key)
	case 3, 4:
		v, ok, err := tx.Get([]byte(key))
		w, there := m[key]
		if err != nil || ok != there || string(v) != w {
			return fmt.Errorf("get %q: %q, %v, %v, want %q, %v", key, v, ok, err, w, there)
		}
	case 5:
		hi := []byte(randomKey(rng))
		if rng.IntN(4) == 0 {
			hi = nil
		}
		return compareRange(tx, m, []byte(key), hi)
	}
	return nil
}

// randomKey is from a small set full of neighbours and prefixes.
func randomKey(rng *rand.Rand) string {
	b := make([]byte, 1+rng.IntN(3))
	for i := range b {
		b[i] = "\x00\x01a\xfe\xff"[rng.IntN(5)]
	}
	return string(b)
}

func compareRange(r engine.Reader, m map[string]string, lo, hi []byte) error {
	var want []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if k >= string(lo) && (hi == nil || k < string(hi)) {
			want = append(want, k+"="+m[k])
		}
	}
	got, err := list(r, lo, hi)
	if err != nil {
		return err
	}
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			return fmt.Errorf("scan [%q, %q) answers %d keys, want %d; key %d is %.50q, want %.50q",
				lo, hi, len(got), len(want), i, at(got, i), at(want, i))
		}
	}
	return nil
}

// at is entry i, or where it is missing "nothing".
func at(s []string, i int) string {
	if i < len(s) {
		return s[i]
	}
	return "nothing"
}
