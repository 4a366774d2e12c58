package server

import (
	"testing"
	"time"

	"github.com/wardfs/wardfs/identity"
)

// TestProvenForLonger: a proof that is checked late takes nothing back.
func TestProvenForLonger(t *testing.T) {
	at := func(s int64) time.Time { return time.Unix(s, 0) }
	c := credential{moved: make(chan struct{}, 1)}
	c.set(at(10), identity.Membership{})
	for _, x := range []struct {
		name  string
		until time.Time
		want  time.Time // of what is given till 1000
		moves bool
	}{
		{"longer", at(30), at(30), true},
		{"checked late", at(20), at(30), false},
		{"the same", at(30), at(30), false},
		{"without end", time.Time{}, at(1000), true},
		{"after that", at(40), at(1000), false},
	} {
		c.extend(x.until, identity.Membership{})
		if got := c.cap(at(1000)); !got.Equal(x.want) || (len(c.moved) == 1) != x.moves {
			t.Errorf("%s: %v, moved %d; want %v, %v", x.name, got, len(c.moved), x.want, x.moves)
		}
		select {
		case <-c.moved:
		default:
		}
	}
}
