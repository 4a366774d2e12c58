package wire

import (
	"bytes"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/proto"
)

// refusals is how many capabilities the house has refused, by cause.
func (h *house) refusals() map[string]float64 {
	h.t.Helper()
	all, err := h.registry.Gather()
	must(h.t, err)
	out := map[string]float64{}
	for _, f := range all {
		if f.GetName() == "wardfs_server_capabilities_refused_total" {
			for _, m := range f.GetMetric() {
				out[m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue()
			}
		}
	}
	return out
}

// A capability is one session's, of one server, and each that is refused is
// counted by its cause. A restart forgets no revocation.
func TestCapabilitiesRefused(t *testing.T) {
	h := newHouse(t)
	h.registry = prometheus.NewRegistry()
	h.stop()
	h.start()
	p := newPeer(h, trustedHello())
	open := func(p *peer, name string, flags posix.OpenFlags) *proto.Opened {
		r := p.call(&proto.Call{Epoch: p.w.Epoch, Cred: &proto.Cred{Super: true}, Op: &proto.Call_Create{Create: &proto.Create{
			Dir: 1, Name: []byte(name), Mode: 0o600, Handle: uint64(len(name)), Flags: uint32(flags)}}})
		if p.errno(r) != 0 {
			t.Fatal(r)
		}
		return r.Opened
	}
	const rw = posix.OpenRead | posix.OpenWrite
	mine, other, reader := open(p, "a", rw), open(p, "ab", rw), open(p, "abc", posix.OpenRead)
	elsewhere := newHouse(t)
	foreign := open(newPeer(elsewhere, trustedHello()), "a", rw)
	forged, older := bytes.Clone(mine.Capability), bytes.Clone(mine.Capability)
	forged[len(forged)-1] ^= 1
	older[0] = 0 // a version of before
	put := func(capability []byte) posix.Errno {
		lane := dialLane(h)
		defer lane.Close()
		return frame(t, lane, &proto.BlockHeader{Op: proto.BlockHeader_PUT, Capability: capability, File: mine.Attr.Ino, Slice: bytes.Repeat([]byte{9}, 16)}, []byte("x"))
	}
	check := func(what string, capability []byte, want posix.Errno, why string) {
		t.Helper()
		before := h.refusals()
		if got := put(capability); got != want {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
		after := h.refusals()
		for _, w := range []string{"forged", "expired", "ended", "rights", "file"} {
			grown := after[w] - before[w]
			if w == why && grown != 1 || w != why && grown != 0 {
				t.Errorf("%s: %v more refused as %q", what, grown, w)
			}
		}
	}
	check("good", mine.Capability, 0, "")
	check("forged", forged, posix.EACCES, "forged")
	check("another version", older, posix.EACCES, "forged")
	check("another server's", foreign.Capability, posix.EACCES, "forged")
	check("another file's", other.Capability, posix.EACCES, "file")
	check("for reading", reader.Capability, posix.EACCES, "rights")
	h.stop()
	h.start()
	check("after a restart", mine.Capability, 0, "")
	h.stop()
	h.forgetSessions()
	h.start()
	check("of a session that has ended, after a restart", mine.Capability, posix.EACCES, "ended")
}
