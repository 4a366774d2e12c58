package pipe

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"testing"
	"time"
)

func pair(t *testing.T) (net.Conn, net.Conn) {
	t.Helper()
	l := Listen()
	var there net.Conn
	var accepting sync.WaitGroup
	accepting.Go(func() { there, _ = l.Accept() })
	here, err := l.Dial(t.Context())
	accepting.Wait()
	if err != nil || there == nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { here.Close(); there.Close() })
	return here, there
}

// What goes in comes out, in both directions at once, in pieces of any size,
// across the ring's end.
func TestBytes(t *testing.T) {
	here, there := pair(t)
	var work sync.WaitGroup
	for i, ends := range [][2]net.Conn{{here, there}, {there, here}} {
		rng := rand.New(rand.NewPCG(1, uint64(i)))
		all := make([]byte, 5*room+12345)
		for k := range all {
			all[k] = byte(rng.Uint32())
		}
		work.Go(func() {
			for rest := all; len(rest) > 0; {
				n := min(len(rest), 1+rand.IntN(room*3/2))
				if _, err := ends[0].Write(rest[:n]); err != nil {
					t.Error(err)
					return
				}
				rest = rest[n:]
			}
		})
		work.Go(func() {
			got := make([]byte, 0, len(all))
			for len(got) < len(all) {
				n, err := ends[1].Read(got[len(got):min(len(got)+1+rand.IntN(room), cap(got))])
				if err != nil {
					t.Error(err)
					return
				}
				got = got[:len(got)+n]
			}
			if !bytes.Equal(got, all) {
				t.Error("other bytes came out")
			}
		})
	}
	work.Wait()
}

// Who has closed is told so; the other end reads what was written before, and
// then the end, and can't write.
func TestClose(t *testing.T) {
	here, there := pair(t)
	if _, err := here.Write([]byte("last words")); err != nil {
		t.Fatal(err)
	}
	waiting := make(chan error)
	go func() { _, err := here.Read(make([]byte, 1)); waiting <- err }()
	here.Close()
	if err := <-waiting; !errors.Is(err, net.ErrClosed) {
		t.Errorf("a read under way at a close: %v", err)
	}
	if _, err := here.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a write after the close: %v", err)
	}
	if b, err := io.ReadAll(there); err != nil || string(b) != "last words" {
		t.Errorf("the other end reads %q, %v", b, err)
	}
	if _, err := there.Write([]byte("x")); err == nil {
		t.Error("the other end writes to nobody")
	}
}

func TestDeadlines(t *testing.T) {
	here, _ := pair(t)
	past, soon := time.Unix(1, 0), func() time.Time { return time.Now().Add(time.Millisecond) }
	for _, when := range []func() time.Time{func() time.Time { return past }, soon} {
		here.SetReadDeadline(when())
		if _, err := here.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a read beyond its deadline: %v", err)
		}
		here.SetWriteDeadline(when())
		if _, err := here.Write(make([]byte, 2*room)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a write beyond its deadline: %v", err)
		}
	}
	var timeout net.Error
	if _, err := here.Read(make([]byte, 1)); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("it does not say that it is a timeout: %v", err)
	}
	here.SetDeadline(time.Now().Add(time.Hour))
	here.SetDeadline(time.Time{})
	done := make(chan error)
	go func() { _, err := here.Read(make([]byte, 1)); done <- err }()
	here.SetReadDeadline(past) // ends a read under way
	if err := <-done; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a read whose deadline was moved: %v", err)
	}
}

func TestListener(t *testing.T) {
	l := Listen()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Dial(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("nobody accepts: %v", err)
	}
	l.Close()
	l.Close()
	if _, err := l.Dial(t.Context()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("dial after the close: %v", err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept after the close: %v", err)
	}
}
