package capability

import (
	"bytes"
	"crypto/rand"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/wardfs/wardfs/posix"
)

var now = time.Unix(1_700_000_000, 0)

func newRing(t testing.TB, numbers ...uint32) Ring {
	var r Ring
	for _, n := range numbers {
		k, err := NewKey(n, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		r = append(r, k)
	}
	return r
}

var grant = Grant{
	Kind: Capability, Session: 7, Epoch: 3, File: 42, Handle: 9,
	Rights: posix.OpenRead | posix.OpenWrite, Expires: now.Add(time.Hour), UID: 1000, Origins: []posix.Ino{41, 1 << 60},
}

func TestOpenAnswersWhatWasSealed(t *testing.T) {
	r := newRing(t, 1)
	for n := range MaxOrigins + 1 {
		want := grant
		want.Origins = nil
		for i := range n {
			want.Origins = append(want.Origins, posix.Ino(100+i))
		}
		got, err := r.Open(Capability, r.Seal(want), now)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("Open = %+v, %v; want %+v", got, err, want)
		}
	}
}

func TestRefused(t *testing.T) {
	r := newRing(t, 1)
	token := r.Seal(grant)
	forever := grant
	forever.Kind, forever.Expires = Ticket, time.Time{}
	for _, c := range []struct {
		name  string
		want  error
		ring  Ring
		kind  Kind
		token []byte
		at    time.Time
	}{
		{"expired", ErrExpired, r, Capability, token, now.Add(time.Hour)},
		{"empty", ErrForged, r, Capability, nil, now},
		{"cut short", ErrForged, r, Capability, token[:len(token)-1], now},
		{"longer", ErrForged, r, Capability, append(bytes.Clone(token), 0), now},
		{"another server's key of the same number", ErrForged, newRing(t, 1), Capability, token, now},
		{"a key that is gone", ErrForged, newRing(t, 2), Capability, token, now},
		{"a ticket as a capability", ErrForged, r, Capability, r.Seal(forever), now},
		{"a capability as a ticket", ErrForged, r, Ticket, token, now},
		{"a ticket never expires", nil, r, Ticket, r.Seal(forever), now.Add(1e6 * time.Hour)},
		{"the older key still checks", nil, append(newRing(t, 2), r...), Capability, token, now},
	} {
		if _, err := c.ring.Open(c.kind, c.token, c.at); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

// A token has exactly the origins it says: not one more by its length.
func TestOriginsAreCounted(t *testing.T) {
	r := newRing(t, 1)
	for _, n := range []byte{0, 1, 3, MaxOrigins + 1, 255} {
		bad := r.Seal(grant)
		bad[54] = n
		if _, err := r.Open(Capability, bad, now); !errors.Is(err, ErrForged) {
			t.Errorf("two origins, said to be %d: %v", n, err)
		}
	}
	for _, c := range []struct {
		want bool
		file posix.Ino
	}{{true, 42}, {true, 41}, {true, 1 << 60}, {false, 43}, {false, 0}} {
		if got := grant.Reads(c.file); got != c.want {
			t.Errorf("reads file %d: %v, want %v", c.file, got, c.want)
		}
	}
}

// Every single bit is under the signature.
func TestEveryBitCounts(t *testing.T) {
	r := newRing(t, 1)
	token := r.Seal(grant)
	for i := range len(token) * 8 {
		bad := bytes.Clone(token)
		bad[i/8] ^= 1 << (i % 8)
		if _, err := r.Open(Capability, bad, now); !errors.Is(err, ErrForged) {
			t.Fatalf("bit %d flipped: %v", i, err)
		}
	}
}

func FuzzOpen(f *testing.F) {
	r := newRing(f, 1)
	f.Add(r.Seal(grant))
	f.Add([]byte{version, 'c'})
	f.Fuzz(func(t *testing.T, b []byte) {
		g, err := r.Open(Capability, b, now)
		if err == nil && !bytes.Equal(r.Seal(g), b) {
			t.Fatalf("%x opens as %+v, which seals otherwise", b, g)
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	r := newRing(b, 1)
	token := r.Seal(grant)
	b.ReportAllocs()
	for b.Loop() {
		r.Open(Capability, token, now)
	}
}
