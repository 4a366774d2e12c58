package wire

import (
	"testing"

	"github.com/wardfs/wardfs/posix"
)

// BenchmarkGetattr is what a question costs: one mount, one server, TLS on
// loopback, an engine in memory.
func BenchmarkGetattr(b *testing.B) {
	h := newHouse(b)
	h.addr = h.direct // the proxy would cost as much again
	m := h.connect()
	fs := m.As(root)
	ask := func(b *testing.B) {
		if _, err := fs.Getattr(b.Context(), posix.RootIno); err != nil {
			b.Error(err)
		}
	}
	b.Run("alone", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			ask(b)
		}
	})
	b.Run("16 at once", func(b *testing.B) {
		b.ReportAllocs()
		b.SetParallelism(8)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				ask(b)
			}
		})
	})
}
