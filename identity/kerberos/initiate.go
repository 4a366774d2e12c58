package kerberos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/jcmturner/gokrb5/v8/client"
	"github.com/jcmturner/gokrb5/v8/config"
	"github.com/jcmturner/gokrb5/v8/iana/flags"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"

	"github.com/wardfs/wardfs/identity"
)

// InitiateConfig is what a Prover needs: a keytab with a principal, or a
// ticket cache.
type InitiateConfig struct {
	Server string // the principal to get a ticket for, as wardfs/host.example; required
	Conf   string // krb5.conf; default /etc/krb5.conf

	Principal string // as user@REALM; with a cache, whose tickets it must have; may be empty then
	Keytab    string // the file with the principal's keys
	Cache     string // the ticket cache, as KRB5CCNAME has it; used if there is no keytab
	// Read reads the cache's files; default os.ReadFile.
	Read func(path string) ([]byte, error)

	Now func() time.Time // default time.Now
}

// Prover is the client's side. It logs in by itself with a keytab, whenever
// its ticket is no longer good; a ticket cache is read anew for each proof, so
// that it follows kinit and kdestroy. It is safe for concurrent use.
type Prover struct {
	c    InitiateConfig
	user string // of Principal
	own  string // realm of Principal

	mu     sync.Mutex
	client *client.Client // logged in by the keytab; nil before
}

// NewProver checks what can be checked without a KDC.
func NewProver(c InitiateConfig) (*Prover, error) {
	if c.Conf == "" {
		c.Conf = "/etc/krb5.conf"
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Read == nil {
		c.Read = os.ReadFile
	}
	p := &Prover{c: c}
	p.user, p.own, _ = strings.Cut(c.Principal, "@")
	switch {
	case c.Server == "":
		return nil, errors.New("kerberos: the server's principal is not named")
	case c.Keytab == "" && c.Cache == "":
		return nil, errors.New("failed to login: name a keytab (keytab=FILE,principal=USER@REALM), or run kinit")
	case c.Keytab != "" && (p.user == "" || p.own == ""):
		return nil, errors.New("kerberos: a keytab needs a principal with its realm: principal=USER@REALM")
	}
	return p, nil
}

// Mechanism is KERBEROS.
func (*Prover) Mechanism() string { return identity.Kerberos }

// Prove gets a ticket for the server and shows it, bound to the channel. The
// server's answer must be confirmed before anything is told to it.
func (p *Prover) Prove(ctx context.Context, c identity.Channel) (identity.Proof, error) {
	binding, err := c.Binding()
	if err != nil {
		return identity.Proof{}, err
	}
	return p.ProveBound(ctx, binding)
}

// ProveBound is Prove for a channel that is another process's.
func (p *Prover) ProveBound(ctx context.Context, binding []byte) (identity.Proof, error) {
	// The library asks KDCs without a context; they have time-outs of their own.
	type answer struct {
		proof identity.Proof
		err   error
	}
	done := make(chan answer, 1)
	go func() {
		var a answer
		a.err = safely(func() (err error) { a.proof, err = p.prove(binding); return err })
		done <- a
	}()
	select {
	case a := <-done:
		if a.err != nil {
			return identity.Proof{}, fmt.Errorf("failed to login: %w", a.err)
		}
		return a.proof, nil
	case <-ctx.Done():
		return identity.Proof{}, ctx.Err()
	}
}

func (p *Prover) prove(binding []byte) (identity.Proof, error) {
	tkt, key, who, err := p.ticket()
	if err != nil {
		return identity.Proof{}, err
	}
	if err := strong("session key", key.KeyType); err != nil {
		return identity.Proof{}, err
	}
	a, err := types.NewAuthenticator(who.Domain(), who.CName())
	if err != nil {
		return identity.Proof{}, err
	}
	a.Cksum = checksum(binding)
	q, err := messages.NewAPReq(tkt, key, a)
	if err != nil {
		return identity.Proof{}, err
	}
	types.SetFlag(&q.APOptions, flags.APOptionMutualRequired)
	b, err := q.Marshal()
	if err != nil {
		return identity.Proof{}, err
	}
	token, err := wrap(idRequest, b)
	return identity.Proof{Bytes: token, Confirm: func(reply []byte) error { return checkReply(reply, a, key) }}, err
}

// who is the client of a ticket, as the library has it.
type who interface {
	Domain() string
	CName() types.PrincipalName
}

// ticket is one for the server, and its session key.
func (p *Prover) ticket() (messages.Ticket, types.EncryptionKey, who, error) {
	var none messages.Ticket
	if tkt, key, who, ok := p.inCache(); ok {
		return tkt, key, who, nil
	}
	cl, err := p.login()
	if err != nil {
		return none, types.EncryptionKey{}, nil, err
	}
	tkt, key, err := cl.GetServiceTicket(p.c.Server)
	if err != nil && p.c.Keytab != "" {
		// A KDC that has changed its keys, say: begin anew, once.
		p.forget(cl)
		if cl, err = p.login(); err == nil {
			tkt, key, err = cl.GetServiceTicket(p.c.Server)
		}
	}
	if err != nil {
		return none, types.EncryptionKey{}, nil, fmt.Errorf("no ticket for %s: %s", p.c.Server, short(err))
	}
	return tkt, key, cl.Credentials, nil
}

// login is a client of the KDC that has a ticket-granting ticket.
func (p *Prover) login() (*client.Client, error) {
	conf, err := loadConf(p.c.Conf)
	if err != nil {
		return nil, err
	}
	if p.c.Keytab == "" {
		return p.fromCache(conf)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.client != nil {
		if err := p.client.AffirmLogin(); err == nil {
			return p.client, nil
		}
		p.client.Destroy()
		p.client = nil
	}
	kt, err := loadKeytab(p.c.Keytab)
	if err != nil {
		return nil, fmt.Errorf("keytab %s: %w", p.c.Keytab, err)
	}
	cl := client.NewWithKeytab(p.user, p.own, kt, conf, client.DisablePAFXFAST(true))
	if err := cl.Login(); err != nil {
		cl.Destroy()
		return nil, fmt.Errorf("%s by keytab %s: %s", p.c.Principal, p.c.Keytab, short(err))
	}
	p.client = cl
	return cl, nil
}

func (p *Prover) fromCache(conf *config.Config) (*client.Client, error) {
	cache, err := loadCache(p.c.Cache, p.c.Read, p.c.Now())
	if err != nil {
		return nil, err
	}
	name := Name{cache.GetClientPrincipalName().NameString, cache.GetClientRealm()}.String()
	if p.c.Principal != "" && p.c.Principal != name {
		return nil, fmt.Errorf("the ticket cache is of %s and not of %s: run kinit %s", name, p.c.Principal, p.c.Principal)
	}
	return client.NewFromCCache(cache, conf, client.DisablePAFXFAST(true))
}

// inCache finds the ticket for the server in a cache that has nothing to get
// another with, as kvno makes it.
func (p *Prover) inCache() (t messages.Ticket, key types.EncryptionKey, w who, ok bool) {
	if p.c.Keytab != "" {
		return t, key, nil, false
	}
	path, err := CachePath(p.c.Cache, p.c.Read)
	if err != nil {
		return t, key, nil, false
	}
	b, err := p.c.Read(path)
	if err != nil {
		return t, key, nil, false
	}
	cache, err := parseCache(b)
	if err != nil || p.c.Principal != "" && p.c.Principal != (Name{cache.GetClientPrincipalName().NameString, cache.GetClientRealm()}).String() {
		return t, key, nil, false
	}
	entries := cache.GetEntries()
	for _, e := range entries {
		if name := e.Server.PrincipalName.NameString; len(name) > 0 && name[0] == "krbtgt" {
			return t, key, nil, false
		}
	}
	for _, e := range entries {
		if e.Server.PrincipalName.PrincipalNameString() == p.c.Server && p.c.Now().Before(e.EndTime) && t.Unmarshal(e.Ticket) == nil {
			return t, e.Key, cache.GetClientCredentials(), true
		}
	}
	return t, key, nil, false
}

// forget drops a client that does not serve any more.
func (p *Prover) forget(cl *client.Client) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.client == cl {
		cl.Destroy()
		p.client = nil
	}
}

// Close gives up the tickets.
func (p *Prover) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.client != nil {
		p.client.Destroy()
		p.client = nil
	}
}

// loadConf reads krb5.conf and takes the weak kinds of encryption out of it.
func loadConf(path string) (*config.Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	conf, err := parseConf(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return conf, nil
}

func parseConf(text string) (conf *config.Config, err error) {
	err = safely(func() (err error) { conf, err = config.NewFromString(text); return err })
	var ignored config.UnsupportedDirective
	if err != nil && !errors.As(err, &ignored) {
		return nil, err
	}
	if conf == nil || conf.LibDefaults.DefaultRealm == "" && len(conf.Realms) == 0 {
		return nil, errors.New("names no realm")
	}
	for _, list := range []*[]int32{&conf.LibDefaults.DefaultTktEnctypeIDs, &conf.LibDefaults.DefaultTGSEnctypeIDs, &conf.LibDefaults.PermittedEnctypeIDs} {
		*list = []int32{18, 17, 20, 19}
	}
	return conf, nil
}

// short is the root of the library's chain of errors, which it builds into text.
func short(err error) string {
	s := err.Error()
	if _, root, ok := strings.Cut(s, "Root cause: "); ok {
		return root
	}
	return s
}
