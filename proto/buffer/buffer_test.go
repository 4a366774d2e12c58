package buffer

import "testing"

func TestClass(t *testing.T) {
	for _, c := range []struct{ want, n int }{
		{Min, 0}, {Min, 1}, {Min, Min - 1}, {Min, Min}, {2 * Min, Min + 1}, {4 << 20, 4 << 20},
		{Max, 4<<20 + 1}, {Max, Max}, {Max + 1, Max + 1},
	} {
		if got := Class(c.n); got != c.want {
			t.Errorf("Class(%d) = %d, want %d", c.n, got, c.want)
		}
		for range 3 {
			b := Get(c.n)
			if len(b) != c.n || cap(b) != c.want {
				t.Errorf("Get(%d): len %d, cap %d, want cap %d", c.n, len(b), cap(b), c.want)
			}
			Put(b)
		}
	}
}

// TestForeign: slices that Get did not make are not lent.
func TestForeign(t *testing.T) {
	for range 100 {
		Put(make([]byte, 5000))
		Put(nil)
		if b := Get(5000); cap(b) != 2*Min {
			t.Fatal(cap(b))
		}
	}
}

func BenchmarkGetPut(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Put(Get(1 << 20))
	}
}
