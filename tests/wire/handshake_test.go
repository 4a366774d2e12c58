package wire

import (
	"context"
	"testing"
	"time"

	"github.com/wardfs/wardfs/client"
	"github.com/wardfs/wardfs/identity"
	"github.com/wardfs/wardfs/identity/kerberos"
	"github.com/wardfs/wardfs/identity/kerberos/kdctest"
	"github.com/wardfs/wardfs/identity/oidc"
	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/export"
)

// BenchmarkHandshake is what it costs both sides, in one process, to begin a
// session and to end it: a connection, TLS, the mechanism's proof.
func BenchmarkHandshake(b *testing.B) {
	h := newHouse(b)
	h.addr = h.direct
	h.people(export.Rules{})
	i := h.tokens(b)
	i.give("alice", time.Hour)
	realm := kdctest.Start(b, "BENCH.TEST")
	dir := b.TempDir()
	realm.Keytab(dir+"/server", "wardfs/localhost")
	realm.Keytab(dir+"/alice", "alice")
	v, err := kerberos.NewVerifier(kerberos.AcceptConfig{Keytab: dir + "/server"})
	must(b, err)
	h.auth.Mechanisms, h.auth.Verifiers = append(h.auth.Mechanisms, identity.Kerberos), append(h.auth.Verifiers, v)
	h.stop()
	h.start()
	h.addr = h.direct
	ticket, err := kerberos.NewProver(kerberos.InitiateConfig{Server: "wardfs/localhost", Conf: realm.Conf, Principal: "alice@BENCH.TEST", Keytab: dir + "/alice"})
	must(b, err)
	defer ticket.Close()
	for _, c := range []struct {
		mechanism string
		prover    identity.Prover
	}{{identity.Simple, nil}, {identity.X509, nil}, {identity.OIDC, oidc.Prover{Token: oidc.File(i.path())}}, {identity.Kerberos, ticket}} {
		conf := h.config()
		conf.Trusted, conf.Mechanism, conf.Prover, conf.User = false, c.mechanism, c.prover, "alice"
		b.Run(c.mechanism, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				m, err := client.Connect(b.Context(), conf)
				must(b, err)
				must(b, m.Close(context.Background()))
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "handshakes/s")
		})
	}
}

// stalled is a prover that, after its first proof, has none until it is let.
type stalled struct {
	identity.Prover
	first bool
	asked chan struct{}
	let   chan struct{}
}

func (s *stalled) Prove(ctx context.Context, c identity.Channel) (identity.Proof, error) {
	if !s.first {
		s.first = true
		return s.Prover.Prove(ctx, c)
	}
	select {
	case s.asked <- struct{}{}:
	default:
	}
	select {
	case <-s.let:
	case <-ctx.Done():
		return identity.Proof{}, ctx.Err()
	}
	return s.Prover.Prove(ctx, c)
}

// While a credential is being renewed, and the issuer of the next one does not
// answer, what goes on goes on: no operation waits for a handshake.
func TestStalledRenewalHoldsNothingUp(t *testing.T) {
	h := newHouse(t)
	h.people(export.Rules{})
	i := h.tokens(t)
	i.give("alice", 30*time.Second)
	p := &stalled{Prover: oidc.Prover{Token: oidc.File(i.path())}, asked: make(chan struct{}, 1), let: make(chan struct{})}
	c := h.config()
	c.Trusted, c.Prover = false, p
	m, err := client.Connect(t.Context(), c)
	must(t, err)
	defer m.Close(t.Context())
	<-p.asked // the renewal is under way, and stays so
	ns := m.As(posix.Cred{})
	for range 200 {
		_, err := ns.Statfs(t.Context(), posix.RootIno)
		must(t, err)
	}
	if n := m.Status().Session.Streams; n != 1 {
		t.Errorf("%d streams, want the first alone", n)
	}
	i.give("alice", time.Hour)
	close(p.let)
}
