package enginetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"

	"github.com/wardfs/wardfs/server/engine"
)

// together runs f in n goroutines and answers the first errors.
func together(n int, f func(worker int) error) error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Add(1)
		go func() { defer wg.Done(); errs[i] = f(i) }()
	}
	wg.Wait()
	return errors.Join(errs...)
}

func number(r engine.Reader, key string) (int, error) {
	v, ok, err := r.Get([]byte(key))
	if err != nil || !ok {
		return 0, err
	}
	return strconv.Atoi(string(v))
}

func setNumber(tx engine.Tx, key string, n int) {
	tx.Put([]byte(key), strconv.AppendInt(nil, int64(n), 10))
}

// counter loses no increment.
func counter(e engine.Engine) error {
	const workers, each = 8, 40
	err := together(workers, func(int) error {
		for range each {
			err := e.Update(background, func(tx engine.Tx) error {
				n, err := number(tx, "n")
				setNumber(tx, "n", n+1)
				return err
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return want(e, fmt.Sprintf("n=%d", workers*each))
}

// bank moves money about; every View sees the same sum.
func bank(e engine.Engine) error {
	const accounts, start = 10, 100
	account := func(i int) string { return fmt.Sprintf("account/%02d", i) }
	err := e.Update(background, func(tx engine.Tx) error {
		for i := range accounts {
			setNumber(tx, account(i), start)
		}
		return nil
	})
	if err != nil {
		return err
	}
	transfer := func(rng *rand.Rand) error {
		from, to, amount := account(rng.IntN(accounts)), account(rng.IntN(accounts)), rng.IntN(60)
		return e.Update(background, func(tx engine.Tx) error {
			a, err := number(tx, from)
			if err != nil || a < amount {
				return err
			}
			setNumber(tx, from, a-amount)
			b, err := number(tx, to)
			setNumber(tx, to, b+amount)
			return err
		})
	}
	sum := func() error {
		return e.View(background, func(r engine.Reader) error {
			total := 0
			err := r.Scan([]byte("account/"), []byte("account0"), func(_, v []byte) bool {
				n, _ := strconv.Atoi(string(v))
				total += n
				return n >= 0
			})
			if err == nil && total != accounts*start {
				err = fmt.Errorf("a View found %d in all accounts, want %d", total, accounts*start)
			}
			return err
		})
	}
	return together(8, func(w int) error {
		rng := rand.New(rand.NewPCG(1, uint64(w)))
		for range 40 {
			if err := transfer(rng); err != nil {
				return err
			}
			if err := sum(); err != nil {
				return err
			}
		}
		return nil
	})
}

// writeSkew is the classic that snapshots allow: two on call, each may leave
// if the other stays.
func writeSkew(e engine.Engine) error {
	for range 100 {
		if err := put(e, "on/a", "1", "on/b", "1"); err != nil {
			return err
		}
		err := together(2, func(w int) error {
			me, other := "on/a", "on/b"
			if w == 1 {
				me, other = other, me
			}
			return e.Update(background, func(tx engine.Tx) error {
				n, err := number(tx, other)
				if err == nil && n == 1 {
					setNumber(tx, me, 0)
				}
				return err
			})
		})
		if err != nil {
			return err
		}
		err = e.View(background, func(r engine.Reader) error {
			a, err := number(r, "on/a")
			b, berr := number(r, "on/b")
			if a+b != 1 {
				return fmt.Errorf("%d stayed on call, want 1 (write skew)", a+b)
			}
			return errors.Join(err, berr)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// phantom has workers add an entry named after how many a scan found: two that
// did not see each other's would take the same name or leave one out.
func phantom(e engine.Engine) error {
	const workers, each = 6, 25
	lo, hi := []byte("dir/"), engine.Successor([]byte("dir/"))
	err := together(workers, func(w int) error {
		for range each {
			err := e.Update(background, func(tx engine.Tx) error {
				n := 0
				if err := tx.Scan(lo, hi, func(_, _ []byte) bool { n++; return true }); err != nil {
					return err
				}
				tx.Put(fmt.Appendf(nil, "dir/%06d.%d", n, w), nil)
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return e.View(background, func(r engine.Reader) error {
		n := 0
		err := r.Scan(lo, hi, func(k, _ []byte) bool {
			ok := string(k[:10]) == fmt.Sprintf("dir/%06d", n)
			n++
			return ok
		})
		if err == nil && n != workers*each {
			err = fmt.Errorf("entry %d of %d is out of turn (phantom)", n, workers*each)
		}
		return err
	})
}

// realTime has each worker look for what it knows to be committed, by itself
// and by others: the order agrees with the order of the answers.
func realTime(e engine.Engine) error {
	var mu sync.Mutex
	latest := 0
	return together(6, func(int) error {
		for range 40 {
			mu.Lock()
			floor := latest
			mu.Unlock()
			mine := 0
			err := e.Update(background, func(tx engine.Tx) error {
				n, err := number(tx, "n")
				if n < floor {
					return fmt.Errorf("an Update read %d after %d was answered", n, floor)
				}
				mine = n + 1
				setNumber(tx, "n", mine)
				return err
			})
			if err != nil {
				return err
			}
			mu.Lock()
			latest = max(latest, mine)
			mu.Unlock()
			err = e.View(background, func(r engine.Reader) error {
				n, err := number(r, "n")
				if n < mine {
					return fmt.Errorf("a View read %d after its caller wrote %d", n, mine)
				}
				return err
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}
