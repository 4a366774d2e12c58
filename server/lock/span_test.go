package lock

import (
	"fmt"
	"slices"
	"testing"
)

// bytesOf paints spans onto the first n bytes of a file.
func bytesOf(s spans, n int) []Type {
	b := make([]Type, n)
	for i := range b {
		b[i] = Unlock
	}
	for _, x := range s {
		for i := x.start; i <= x.end && i < uint64(n); i++ {
			b[i] = x.typ
		}
	}
	return b
}

// layOn lays r over s and compares with a file of n painted bytes.
func layOn(t *testing.T, s spans, r span, n int) spans {
	t.Helper()
	want := bytesOf(s, n)
	weaker := false
	for i := r.start; i <= r.end && i < uint64(n); i++ {
		weaker = weaker || want[i] > r.typ
		want[i] = r.typ
	}
	before := slices.Clone(s)
	count := func(s spans) (writes int) {
		for _, x := range s {
			if x.typ == Write {
				writes++
			}
		}
		return writes
	}
	writes := count(s)
	e := s.plan(r)
	if !slices.Equal(s, before) {
		t.Fatalf("planning %+v changed %+v to %+v", r, before, s)
	}
	s = s.apply(&e)
	soundSpans(t, s)
	if got := bytesOf(s, n); !slices.Equal(got, want) {
		t.Fatalf("%+v over %+v gives %+v", r, before, s)
	}
	if e.weaker != weaker || e.grows() != len(s)-len(before) || e.writes != count(s)-writes {
		t.Fatalf("%+v over %+v gives %+v: plan says weaker %v, grows %d, writes %d", r, before, s, e.weaker, e.grows(), e.writes)
	}
	for lo := range uint64(n) {
		x, ok := s.first(lo, lo)
		if ok != (want[lo] != Unlock) || ok && x.typ != want[lo] {
			t.Fatalf("first at %d of %+v: %+v", lo, s, x)
		}
		if _, ok := s.clash(span{lo, lo, 0, Read}); ok != (want[lo] == Write) {
			t.Fatalf("clash at %d of %+v: %v", lo, s, ok)
		}
	}
	return s
}

// TestPlanEveryEdge lays every range of every type over every painting of a
// file of five bytes.
func TestPlanEveryEdge(t *testing.T) {
	const n = 5
	types := []Type{Unlock, Read, Write}
	for code := range 3 * 3 * 3 * 3 * 3 {
		var s spans
		for i, c := uint64(0), code; i < n; i, c = i+1, c/3 {
			if typ := types[c%3]; typ != Unlock {
				e := s.plan(span{i, i, 0, typ})
				s = s.apply(&e)
			}
		}
		for lo := range uint64(n) {
			for hi := lo; hi < n; hi++ {
				for _, typ := range types {
					layOn(t, slices.Clone(s), span{lo, hi, 0, typ}, n)
				}
			}
		}
	}
}

// FuzzPlan lays ranges one after the other: three bytes each.
func FuzzPlan(f *testing.F) {
	f.Add([]byte{0, 9, 2, 10, 20, 2, 4, 5, 1, 6, 30, 0})
	f.Add([]byte{0, 255, 1, 3, 3, 2, 5, 5, 2, 4, 4, 2, 0, 255, 0})
	f.Fuzz(func(t *testing.T, in []byte) {
		var s spans
		for ; len(in) >= 3; in = in[3:] {
			lo, hi := uint64(in[0])%64, uint64(in[1])%64
			if in[1] == 255 {
				hi = EOF
			}
			s = layOn(t, s, span{min(lo, hi), max(lo, hi), 0, Type(in[2]%3) + Unlock}, 64)
		}
	})
}

func TestStrings(t *testing.T) {
	if got, want := fmt.Sprint(Posix, Flock, Unlock, Read, Write, Type(0)), "fcntl flock unlock read write type 0"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
