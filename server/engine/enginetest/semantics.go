package enginetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/engine"
)

func getPut(e engine.Engine) error {
	err := e.Update(background, func(tx engine.Tx) error {
		if v, ok, err := tx.Get([]byte("a")); ok || err != nil {
			return fmt.Errorf("an empty store has %q, %v", v, err)
		}
		tx.Put([]byte("a"), []byte("1"))
		tx.Put([]byte("b"), []byte("2"))
		tx.Put([]byte("a"), []byte("3"))
		tx.Delete([]byte("b"))
		tx.Delete([]byte("nothing"))
		if v, err := get(tx, "a"); err != nil || v != "3" {
			return fmt.Errorf("own write reads %q, %v, want 3", v, err)
		}
		if _, ok, err := tx.Get([]byte("b")); ok || err != nil {
			return fmt.Errorf("own delete is not seen: %v", err)
		}
		tx.Put([]byte("c"), []byte("4"))
		return nil
	})
	if err != nil {
		return err
	}
	if err := want(e, "a=3", "c=4"); err != nil {
		return err
	}
	if err := e.Update(background, func(tx engine.Tx) error { tx.Delete([]byte("a")); return nil }); err != nil {
		return err
	}
	return want(e, "c=4")
}

// edgeKeys are keys and values at the ends of what bytes can be.
func edgeKeys(e engine.Engine) error {
	keys := []string{"\x00", "\x00\x00", "a", "a\x00", "a\x00\xff", "a\xff", "a\xff\xff", "b",
		"\xfe\xff", "\xff", "\xff\x00", "\xff\xff", "\xff\xff\xff", strings.Repeat("\xff", 2000)}
	values := []string{"", "\x00", "\xff", strings.Repeat("v", 70000)}
	err := e.Update(background, func(tx engine.Tx) error {
		for i, k := range keys {
			tx.Put([]byte(k), []byte(values[i%len(values)]))
		}
		return nil
	})
	if err != nil {
		return err
	}
	return e.View(background, func(r engine.Reader) error {
		i := 0
		err := r.Scan(nil, nil, func(k, v []byte) bool {
			if i >= len(keys) || string(k) != keys[i] || string(v) != values[i%len(values)] {
				return false
			}
			i++
			return true
		})
		if err != nil || i != len(keys) {
			return fmt.Errorf("the scan went wrong at key %d of %d: %v", i, len(keys), err)
		}
		for i, k := range keys {
			if v, err := get(r, k); err != nil || v != values[i%len(values)] {
				return fmt.Errorf("key %q has a value of %d bytes, %v", k, len(v), err)
			}
		}
		if v, _, err := r.Get([]byte("a\x00\xfe")); v != nil || err != nil {
			return fmt.Errorf("a key that is not there has %q, %v", v, err)
		}
		return nil
	})
}

// emptyKey is no key: it is never there, and a Put of it is refused.
func emptyKey(e engine.Engine) error {
	err := e.Update(background, func(tx engine.Tx) error {
		tx.Put([]byte("a"), []byte("1"))
		tx.Put(nil, []byte("2"))
		tx.Put([]byte("b"), []byte("3"))
		return nil
	})
	if posix.ErrnoOf(err) != posix.EINVAL {
		return fmt.Errorf("a Put of the empty key answers %v, want EINVAL", err)
	}
	err = e.Update(background, func(tx engine.Tx) error {
		tx.Delete([]byte{})
		if _, ok, err := tx.Get(nil); ok || err != nil {
			return fmt.Errorf("the empty key is there, %v", err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return want(e)
}

func scanRanges(e engine.Engine) error {
	keys := []string{"a", "a\x00", "a\xff", "a\xff\xff", "b", "c", "\xff", "\xff\xff"}
	err := e.Update(background, func(tx engine.Tx) error {
		for _, k := range keys {
			tx.Put([]byte(k), []byte("v"))
		}
		return nil
	})
	if err != nil {
		return err
	}
	bounds := append([]string{"", "a\xfe", "bb", "\xff\xff\xff"}, keys...)
	return e.View(background, func(r engine.Reader) error {
		for _, lo := range bounds {
			for _, hi := range append(bounds, "nil") {
				if err := scanOne(r, keys, []byte(lo), []byte(hi)); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

func scanOne(r engine.Reader, keys []string, lo, hi []byte) error {
	if string(hi) == "nil" {
		hi = nil
	}
	var want, got []string
	for _, k := range keys {
		if k >= string(lo) && (hi == nil || k < string(hi)) {
			want = append(want, k)
		}
	}
	err := r.Scan(lo, hi, func(k, _ []byte) bool { got = append(got, string(k)); return true })
	if err != nil || fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
		return fmt.Errorf("scan [%q, %q) answers %q, %v, want %q", lo, hi, got, err, want)
	}
	return nil
}

func scanStops(e engine.Engine) error {
	if err := put(e, "a", "1", "b", "2", "c", "3"); err != nil {
		return err
	}
	return e.View(background, func(r engine.Reader) error {
		calls := 0
		err := r.Scan(nil, nil, func(k, v []byte) bool { calls++; return calls < 2 })
		if err != nil || calls != 2 {
			return fmt.Errorf("a scan stopped at 2 made %d calls, %v", calls, err)
		}
		return nil
	})
}

func scanOwnWrites(e engine.Engine) error {
	if err := put(e, "a", "1", "b", "2", "c", "3"); err != nil {
		return err
	}
	return e.Update(background, func(tx engine.Tx) error {
		tx.Put([]byte("aa"), []byte("new"))
		tx.Put([]byte("b"), []byte("changed"))
		tx.Delete([]byte("c"))
		tx.Put([]byte("d"), nil)
		got, err := list(tx, []byte("a"), []byte("e"))
		want := []string{"a=1", "aa=new", "b=changed", "d="}
		if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			return fmt.Errorf("scan over own writes: %q, %v, want %q", got, err, want)
		}
		return nil
	})
}

// scanWithWrites changes what it scans: what lies behind the scan or was not
// changed must come out right, and the changes must hold.
func scanWithWrites(e engine.Engine) error {
	if err := put(e, "a", "1", "b", "2", "c", "3", "d", "4"); err != nil {
		return err
	}
	err := e.Update(background, func(tx engine.Tx) error {
		var seen []string
		err := tx.Scan(nil, nil, func(k, v []byte) bool {
			seen = append(seen, string(k)+"="+string(v))
			if got, ok, err := tx.Get(k); err != nil || !ok || !bytes.Equal(got, v) {
				seen = append(seen, fmt.Sprintf("get within: %q %v", got, err))
			}
			tx.Delete(k)
			tx.Put(append([]byte("A"), k...), v)
			return true
		})
		if got := strings.Join(seen, " "); err != nil || got != "a=1 b=2 c=3 d=4" {
			return fmt.Errorf("scan with writes saw %q, %v", got, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return want(e, "Aa=1", "Ab=2", "Ac=3", "Ad=4")
}

func copiesArguments(e engine.Engine) error {
	key, value := []byte("key"), []byte("value")
	err := e.Update(background, func(tx engine.Tx) error {
		tx.Put(key, value)
		copy(key, "xxx")
		copy(value, "yyyyy")
		tx.Put([]byte("b"), []byte("2"))
		tx.Delete(key)
		copy(key, "b__")
		return nil
	})
	if err != nil {
		return err
	}
	return want(e, "b=2", "key=value")
}

var errMine = errors.New("enginetest: f says no")

func errorLeavesNothing(e engine.Engine) error {
	if err := put(e, "a", "1"); err != nil {
		return err
	}
	err := e.Update(background, func(tx engine.Tx) error {
		tx.Put([]byte("a"), []byte("2"))
		tx.Put([]byte("b"), []byte("2"))
		return errMine
	})
	if err != errMine {
		return fmt.Errorf("an update answers %v, want f's own error", err)
	}
	if err := e.View(background, func(engine.Reader) error { return errMine }); err != errMine {
		return fmt.Errorf("a view answers %v, want f's own error", err)
	}
	if err := want(e, "a=1"); err != nil {
		return err
	}
	return put(e, "c", "3")
}

func panicLeavesNothing(e engine.Engine) error {
	if err := put(e, "a", "1", "b", "2"); err != nil {
		return err
	}
	panics := func(run func()) (p any) {
		defer func() { p = recover() }()
		run()
		return nil
	}
	for _, during := range []string{"f", "scan"} {
		p := panics(func() {
			_ = e.Update(background, func(tx engine.Tx) error {
				tx.Put([]byte("c"), []byte("3"))
				if during == "f" {
					panic(during)
				}
				return tx.Scan(nil, nil, func(_, _ []byte) bool { panic(during) })
			})
		})
		if p != during {
			return fmt.Errorf("a panic in %s of an Update came out as %v", during, p)
		}
		p = panics(func() {
			_ = e.View(background, func(r engine.Reader) error {
				return r.Scan(nil, nil, func(_, _ []byte) bool { panic(during) })
			})
		})
		if p != during {
			return fmt.Errorf("a panic in the scan of a View came out as %v", p)
		}
	}
	if err := want(e, "a=1", "b=2"); err != nil {
		return err
	}
	return put(e, "d", "4") // the lock is free
}

// bigTransaction has some thousands of puts and 6 MiB.
func bigTransaction(e engine.Engine) error {
	const n, size = 6000, 1024
	value := func(i int) []byte { return bytes.Repeat([]byte{byte(i), byte(i >> 8)}, size/2) }
	err := e.Update(background, func(tx engine.Tx) error {
		for i := range n {
			tx.Put(fmt.Appendf(nil, "big/%06d", i*7919%n), value(i*7919%n))
		}
		if v, err := get(tx, "big/000000"); err != nil || v != string(value(0)) {
			return fmt.Errorf("own write in a big transaction: %d bytes, %v", len(v), err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = e.View(background, func(r engine.Reader) error {
		i := 0
		err := r.Scan([]byte("big/"), engine.Successor([]byte("big/")), func(k, v []byte) bool {
			ok := string(k) == fmt.Sprintf("big/%06d", i) && bytes.Equal(v, value(i))
			i++
			return ok
		})
		if err != nil || i != n {
			return fmt.Errorf("key %d of %d is wrong: %v", i, n, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = e.Update(background, func(tx engine.Tx) error {
		return tx.Scan(nil, nil, func(k, _ []byte) bool { tx.Delete(k); return true })
	})
	if err != nil {
		return err
	}
	return want(e)
}

// viewIsFixed changes the store in the middle of a View.
func viewIsFixed(e engine.Engine) error {
	if err := put(e, "a", "1", "b", "1"); err != nil {
		return err
	}
	return e.View(background, func(r engine.Reader) error {
		if v, err := get(r, "a"); err != nil || v != "1" {
			return fmt.Errorf("a is %q, %v", v, err)
		}
		if err := put(e, "a", "2", "aa", "2", "b", "2"); err != nil {
			return err
		}
		if v, err := get(r, "b"); err != nil || v != "1" {
			return fmt.Errorf("a View began with b=1 and reads %q, %v", v, err)
		}
		got, err := list(r, nil, nil)
		if err != nil || fmt.Sprint(got) != "[a=1 b=1]" {
			return fmt.Errorf("a View began with a=1 b=1 and scans %q, %v", got, err)
		}
		return nil
	})
}

// cancelled asks for ctx's error while an Update waits for another.
func cancelled(e engine.Engine) error {
	ctx, cancel := context.WithCancel(background)
	cancel()
	ran := false
	err := e.Update(ctx, func(tx engine.Tx) error { ran = true; return nil })
	if !errors.Is(err, context.Canceled) || ran {
		return fmt.Errorf("an update with a cancelled ctx answers %v, ran %v", err, ran)
	}
	if err := e.View(ctx, func(engine.Reader) error { ran = true; return nil }); !errors.Is(err, context.Canceled) || ran {
		return fmt.Errorf("a view with a cancelled ctx answers %v, ran %v", err, ran)
	}
	// Once f has begun, the Update ends by itself.
	ctx, cancel = context.WithCancel(background)
	err = e.Update(ctx, func(tx engine.Tx) error {
		cancel()
		tx.Put([]byte("a"), []byte("1"))
		return nil
	})
	if err != nil {
		return fmt.Errorf("an update that was cancelled after it began answers %v", err)
	}
	return want(e, "a=1")
}

func closing(e engine.Engine) error {
	if err := put(e, "a", "1"); err != nil {
		return err
	}
	if err := e.Close(); err != nil {
		return err
	}
	ran := false
	if err := e.Update(background, func(engine.Tx) error { ran = true; return nil }); !errors.Is(err, engine.ErrClosed) {
		return fmt.Errorf("an update of a closed engine answers %v", err)
	}
	if err := e.View(background, func(engine.Reader) error { ran = true; return nil }); !errors.Is(err, engine.ErrClosed) {
		return fmt.Errorf("a view of a closed engine answers %v", err)
	}
	if err := e.Close(); !errors.Is(err, engine.ErrClosed) {
		return fmt.Errorf("a second Close answers %v", err)
	}
	if ran {
		return errors.New("a closed engine ran a transaction")
	}
	return nil
}

// closeWaits closes while a View and an Update run.
func closeWaits(e engine.Engine) error {
	if err := put(e, "a", "1"); err != nil {
		return err
	}
	type outcome struct {
		who string
		err error
	}
	began, goOn, outcomes := make(chan bool), make(chan bool), make(chan outcome, 3)
	read := func(r engine.Reader) error {
		began <- true
		<-goOn
		_, err := get(r, "a")
		return err
	}
	go func() {
		outcomes <- outcome{"View", e.View(background, read)}
	}()
	go func() {
		outcomes <- outcome{"Update", e.Update(background, func(tx engine.Tx) error {
			tx.Put([]byte("b"), []byte("2"))
			return read(tx)
		})}
	}()
	<-began
	<-began
	go func() { outcomes <- outcome{"Close", e.Close()} }()
	for !errors.Is(e.View(background, func(engine.Reader) error { return nil }), engine.ErrClosed) {
		// Until Close has begun.
	}
	select {
	case o := <-outcomes:
		close(goOn)
		return fmt.Errorf("%s did not wait: %v", o.who, o.err)
	default:
	}
	close(goOn)
	for range 3 {
		if o := <-outcomes; o.err != nil {
			return fmt.Errorf("%s answers %v", o.who, o.err)
		}
	}
	return nil
}
