package x509

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"strings"
	"testing"

	"github.com/wardfs/wardfs/identity"
)

func TestNames(t *testing.T) {
	cert := func(cn string, emails, hosts []string) *x509.Certificate {
		return &x509.Certificate{Subject: pkix.Name{CommonName: cn}, EmailAddresses: emails, DNSNames: hosts}
	}
	for name, c := range map[string]struct {
		from Field
		cert *x509.Certificate
		want string // or =principal
	}{
		"common name":         {CommonName, cert("alice", []string{"bob@a.test"}, []string{"carol"}), "=alice"},
		"e-mail":              {Email, cert("alice", []string{"bob@a.test"}, []string{"carol"}), "=bob@a.test"},
		"DNS":                 {DNS, cert("alice", []string{"bob@a.test"}, []string{"batch.a.test"}), "=batch.a.test"},
		"no common name":      {CommonName, cert("", []string{"bob@a.test"}, nil), "common name"},
		"no e-mail":           {Email, cert("alice", nil, []string{"a"}), "has 0 names"},
		"two e-mails":         {Email, cert("alice", []string{"a@b", "b@b"}, nil), "has 2 names"},
		"no DNS":              {DNS, cert("root", nil, nil), "has 0 names"},
		"two DNS":             {DNS, cert("root", nil, []string{"a", "b"}), "has 2 names"},
		"a line":              {CommonName, cert("a\nb", nil, nil), "common name"},
		"a path":              {CommonName, cert("../root", nil, nil), "common name"},
		"an e-mail with more": {Email, cert("", []string{"bob@a.test,root"}, nil), "e-mail"},
		"a name to hide":      {CommonName, cert("root\u200b", nil, nil), "common name"},
		"a long name":         {CommonName, cert(strings.Repeat("x", 1000), nil, nil), "common name"},
	} {
		ch := identity.Channel{TLS: tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{c.cert}}}}
		who, err := Verifier{From: c.from}.Verify(t.Context(), ch, nil)
		if want, ok := strings.CutPrefix(c.want, "="); ok {
			if err != nil || who.Name != want || who.Mechanism != identity.X509 {
				t.Errorf("%s: %v %v", name, who.Principal, err)
			}
		} else if !errors.Is(err, identity.ErrRefused) || !strings.Contains(err.Error(), c.want) || len(err.Error()) > 300 {
			t.Errorf("%s: %v %v, want %q", name, who.Principal, err, c.want)
		}
	}
	// A certificate that nobody has verified is none.
	ch := identity.Channel{TLS: tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert("root", nil, nil)}}}
	if _, err := (Verifier{}).Verify(t.Context(), ch, nil); !errors.Is(err, identity.ErrRefused) {
		t.Errorf("it is taken without being verified: %v", err)
	}
}
