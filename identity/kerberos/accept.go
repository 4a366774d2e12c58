package kerberos

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"time"

	"github.com/jcmturner/gokrb5/v8/iana/errorcode"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"

	"github.com/wardfs/wardfs/identity"
)

// AcceptConfig is what a Verifier needs.
type AcceptConfig struct {
	// Keytab is the file with the server's keys: of several principals, in
	// several versions. It is read again when it changes.
	Keytab string
	// Principals are the server's names that tickets may be for, as
	// wardfs/host.example; none: every wardfs/… of the keytab. One name for
	// all servers of a cluster is one that is written here.
	Principals []string
	// Realms are those whose principals may come; none: those of the keytab.
	Realms []string
	// Rules make users of principals: auth_to_local; empty is DEFAULT, and the
	// keytab's realms are the default ones.
	Rules string
	Skew  time.Duration // how far clocks may be apart; default 5 min
	Now   func() time.Time
	Log   *slog.Logger
}

// Verifier is the server's side. It is safe for concurrent use.
type Verifier struct {
	c      AcceptConfig
	keys   *keys
	rules  *Rules
	realms []string
	seen   replays
}

// NewVerifier reads the keytab.
func NewVerifier(c AcceptConfig) (*Verifier, error) {
	if c.Skew == 0 {
		c.Skew = 5 * time.Minute
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Rules == "" {
		c.Rules = "DEFAULT"
	}
	v := &Verifier{c: c, keys: &keys{path: c.Keytab, log: c.Log}, realms: c.Realms}
	kt, err := v.keys.get()
	if err != nil {
		return nil, err
	}
	var own []string
	for _, e := range kt.Entries {
		if !slices.Contains(own, e.Principal.Realm) {
			own = append(own, e.Principal.Realm)
		}
	}
	if len(v.realms) == 0 {
		v.realms = own
	}
	v.rules, err = ParseRules(c.Rules, own...)
	return v, err
}

// Mechanism is KERBEROS.
func (*Verifier) Mechanism() string { return identity.Kerberos }

// Verify checks the ticket, that its owner shows it, here and now, and that it
// was not shown before.
func (v *Verifier) Verify(_ context.Context, c identity.Channel, proof []byte) (identity.Verified, error) {
	var out identity.Verified
	err := safely(func() (err error) {
		out, err = v.verify(c, proof)
		return err
	})
	if err != nil {
		return identity.Verified{}, fmt.Errorf("%w: Kerberos: %w", identity.ErrRefused, err)
	}
	return out, nil
}

func (v *Verifier) verify(c identity.Channel, proof []byte) (out identity.Verified, err error) {
	binding, err := c.Binding()
	if err != nil {
		return out, err
	}
	q, err := parseRequest(proof)
	if err != nil {
		return out, err
	}
	if err := v.open(&q, c); err != nil {
		return out, err
	}
	tkt := q.Ticket.DecryptedEncPart
	if err := checkBinding(q.Authenticator.Cksum, binding); err != nil {
		return out, err
	}
	now := v.c.Now()
	if err := v.seen.add(q.EncryptedAuthenticator.Cipher, now, now.Add(2*v.c.Skew)); err != nil {
		return out, err
	}
	who := nameOf(tkt.CName, tkt.CRealm)
	if q.Authenticator.CRealm != tkt.CRealm || !slices.Contains(v.realms, tkt.CRealm) {
		return out, fmt.Errorf("%s is of a realm whose principals may not come; these may: %v", who, v.realms)
	}
	if out.Name, err = v.rules.User(who); err != nil {
		return out, err
	}
	out.Mechanism, out.Expires = identity.Kerberos, tkt.EndTime
	out.Reply, err = reply(q.Authenticator, tkt.Key)
	return out, err
}

func parseRequest(token []byte) (q messages.APReq, err error) {
	b, err := unwrap(idRequest, token)
	if err != nil {
		return q, err
	}
	if safely(func() error { return q.Unmarshal(b) }) != nil {
		return q, errors.New("not an AP-REQ")
	}
	return q, nil
}

// open decrypts the ticket and the authenticator and checks their times.
func (v *Verifier) open(q *messages.APReq, c identity.Channel) error {
	n := q.Ticket.SName
	if len(n.NameString) == 0 || !v.mine(n) {
		return fmt.Errorf("the ticket is for %s, which is not this server; mount it by the name that its principal has", nameOf(n, q.Ticket.Realm))
	}
	if err := errors.Join(strong("ticket", q.Ticket.EncPart.EType), strong("authenticator", q.EncryptedAuthenticator.EType)); err != nil {
		return err
	}
	kt, err := v.keys.get()
	if err != nil {
		return err
	}
	if _, _, err := kt.GetEncryptionKey(n, q.Ticket.Realm, q.Ticket.EncPart.KVNO, q.Ticket.EncPart.EType); err != nil {
		return fmt.Errorf("the server's keytab has no key of %s with version %d and type %d: it is older or newer than the KDC's",
			nameOf(n, q.Ticket.Realm), q.Ticket.EncPart.KVNO, q.Ticket.EncPart.EType)
	}
	ok, err := q.Verify(kt, v.c.Skew, hostAddress(c), nil)
	if err != nil {
		return plain(err)
	}
	if !ok {
		return errors.New("the ticket is not valid")
	}
	return strong("session key", q.Ticket.DecryptedEncPart.Key.KeyType)
}

// mine reports whether a ticket for that name is for this server.
func (v *Verifier) mine(n types.PrincipalName) bool {
	if len(v.c.Principals) == 0 {
		return n.NameString[0] == Service
	}
	return slices.Contains(v.c.Principals, n.PrincipalNameString())
}

func hostAddress(c identity.Channel) types.HostAddress {
	if a, ok := c.Remote.(*net.TCPAddr); ok {
		return types.HostAddressFromNetIP(a.IP)
	}
	return types.HostAddress{}
}

// plain is what a person can do about an error of Kerberos.
func plain(err error) error {
	var k messages.KRBError
	if !errors.As(err, &k) {
		return errors.New("the ticket can't be read by the server's key: the keytab is not that of the KDC")
	}
	switch k.ErrorCode {
	case errorcode.KRB_AP_ERR_TKT_EXPIRED:
		return errors.New("the ticket has expired: run kinit")
	case errorcode.KRB_AP_ERR_SKEW:
		return errors.New("the clocks of client and server are too far apart: set them by NTP")
	case errorcode.KRB_AP_ERR_BADADDR:
		return errors.New("the ticket is for another address: get one without addresses (kinit -A)")
	}
	return fmt.Errorf("error %d: %s", k.ErrorCode, k.EText)
}
