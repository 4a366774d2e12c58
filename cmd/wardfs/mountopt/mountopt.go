// Package mountopt reads what stands in a mount command and in fstab: the
// SPEC of what to mount, and the options after -o. It is pure, and refuses
// what it does not know with the nearest that it does.
//
//	spec, err := mountopt.ParseSpec("files.example.com:/team")
//	o, err := mountopt.Parse("ro,identity=trusted,ca=/etc/wardfs/ca.pem")
package mountopt

import (
	"fmt"
	"strings"
	"time"

	"github.com/wardfs/wardfs/cmd/wardfs/config"
)

// Options is what the options said. The zero value with [Defaults] is a mount
// without any.
type Options struct {
	// What the kernel is told.
	ReadOnly, NoSuid, NoDev, NoExec, NoAtime bool
	NonEmpty                                 bool
	AllowOther                               Choice // default: see table.go
	NoDefaultPermissions                     bool
	AttrTimeout, EntryTimeout                time.Duration // negative: unset
	NegativeTimeout                          time.Duration
	Fsname                                   string      // shown as the source
	ReadAhead, MaxWrite                      config.Size // 0: unset

	// Who we are, and whom we trust.
	CA, Cert, Key, ServerName string
	AnyName                   bool   // do not check the server's name
	KeyPassword               string // files with passwords
	Keystore, Alias           string
	KeystorePassword          string
	Truststore                string
	TruststorePassword        string
	TLSDir                    string // pairs NAME.key, NAME.crt
	Pins                      []string
	Mechanism                 string // SIMPLE, X509, KERBEROS, OIDC, CUSTOM or TOKEN; empty: X509 if there is a certificate
	Principal, Keytab, CCache string // of KERBEROS
	SPN, Krb5Conf             string
	Token, TokenExec, DPoPKey string // of OIDC
	Proof, ProofExec          string // of CUSTOM
	Agent                     string // pattern of sockets, with identity=caller
	TokenFile                 string // of TOKEN
	User                      string // the name that SIMPLE states
	Identity                  string // mount, caller, trusted or impersonate; empty: mount, for dev:DIR trusted
	Impersonate               string // the user to act for, with identity=impersonate
	Idmap                     string // "off", or a file that names numbers; empty: this host's names alone
	Domain                    string // what this host adds to names
	Nobody                    bool   // owners who are unknown here are nobody

	// How the mount lives.
	Memory   config.Size   // 0: unset
	Timeout  time.Duration // timeo; 0: unset
	Soft     bool
	Log      string // file; empty: the system's log, when in the background
	LogLevel string
	LogJSON  bool
	Debug    bool
	NoFail   bool
}

// HasCert reports whether there is a certificate to show.
func (o *Options) HasCert() bool { return o.Cert != "" || o.Keystore != "" || o.TLSDir != "" }

// PerCaller reports whether each local user has a session of its own.
func (o *Options) PerCaller() bool {
	return o.Identity == "caller" || o.Identity == "impersonate" && o.Impersonate == ""
}

// Own reports whether a mount with identity=caller has a session of its own
// too: its certificate or its keytab says whose.
func (o *Options) Own() bool { return o.HasCert() || o.Keytab != "" }

// ServerJudges reports whether the server alone judges what a caller may do: so
// it must where callers have sessions of their own, whose rights no attribute
// tells the kernel.
func (o *Options) ServerJudges() bool { return o.NoDefaultPermissions || o.PerCaller() }

// Choice is yes, no or unsaid.
type Choice int

// The three Choices.
const (
	Unsaid Choice = iota
	Yes
	No
)

// Or is what was said, or otherwise.
func (c Choice) Or(otherwise bool) bool { return c == Yes || c == Unsaid && otherwise }

// Defaults are the options of a mount without any.
func Defaults() *Options {
	return &Options{AttrTimeout: -1, EntryTimeout: -1, NegativeTimeout: -1, LogLevel: "info"}
}

// Error is an option or SPEC that can't be understood.
type Error struct{ Text, Next string }

// Error is the cause.
func (e *Error) Error() string { return e.Text }

// Hint is the next step.
func (e *Error) Hint() string { return e.Next }

// Parse reads lists of options, later ones over earlier ones. A comma within a
// value is written \, as for fusermount3.
func Parse(lists ...string) (*Options, error) {
	o := Defaults()
	return o, o.Lay(lists...)
}

// Lay lays lists of options over those that are there.
func (o *Options) Lay(lists ...string) error {
	for _, list := range lists {
		for _, word := range split(list) {
			if err := o.set(word); err != nil {
				return err
			}
		}
	}
	return o.check()
}

// Known drops the options of a list that are not known, for mount(8)'s -s.
func Known(list string) string {
	var kept []string
	for _, word := range split(list) {
		name, _, _ := strings.Cut(word, "=")
		if _, ok := find(name); ok {
			kept = append(kept, strings.ReplaceAll(word, ",", `\,`))
		}
	}
	return strings.Join(kept, ",")
}

// split cuts a list at its commas.
func split(list string) (words []string) {
	var w strings.Builder
	end := func() {
		if s := strings.TrimSpace(w.String()); s != "" {
			words = append(words, s)
		}
		w.Reset()
	}
	for i := 0; i < len(list); i++ {
		switch c := list[i]; {
		case c == '\\' && i+1 < len(list) && (list[i+1] == ',' || list[i+1] == '\\'):
			i++
			w.WriteByte(list[i])
		case c == ',':
			end()
		default:
			w.WriteByte(c)
		}
	}
	end()
	return words
}

func (o *Options) set(word string) error {
	name, value, has := strings.Cut(word, "=")
	t, ok := find(name)
	switch {
	case name == "sec": // as NFS has it
		return &Error{"mount option sec= is NFS's", "write mechanism=KERBEROS for sec=krb5, identity=trusted for sec=sys; what is sent is always encrypted"}
	case !ok:
		var names []string
		for _, t := range table() {
			names = append(names, t.Name)
		}
		return &Error{fmt.Sprintf("unknown mount option %q", name), config.DidYouMean(name, names, "`wardfs mount --help` lists the options")}
	case t.flag == nil && !has:
		return &Error{fmt.Sprintf("mount option %q needs a value", name), fmt.Sprintf("write %s=%s", name, t.Value)}
	case t.flag != nil && t.value == nil && has:
		return &Error{fmt.Sprintf("mount option %q takes no value", name), "write " + name}
	case !has:
		t.flag(o)
		return nil
	}
	if strings.ContainsAny(value, "\x00\n") {
		return &Error{fmt.Sprintf("mount option %q has a line break or a zero byte in it", name), ""}
	}
	if err := t.value(o, value); err != nil {
		e := &Error{Text: fmt.Sprintf("mount option %s=%s: %v", name, value, err), Next: fmt.Sprintf("write %s=%s", name, t.Value)}
		if h, ok := err.(interface{ Hint() string }); ok {
			e.Next = h.Hint()
		}
		return e
	}
	return nil
}

// check finds pairs that make no sense.
func (o *Options) check() error {
	if o.Identity == "caller" {
		if err := o.checkCaller(); err != nil {
			return err
		}
	} else if err := o.checkMechanism(); err != nil {
		return err
	}
	switch {
	case (o.Cert == "") != (o.Key == ""):
		return &Error{"mount options cert= and key= belong together", "give both, or neither"}
	case o.Mechanism == "X509" && !o.HasCert():
		return &Error{"mount option mechanism=X509 needs a certificate", "give cert=FILE,key=FILE"}
	case o.User != "" && o.Mechanism == "X509":
		return &Error{"mount option user= is for mechanism=SIMPLE; with X509 the certificate says who it is", "leave one of them out"}
	case o.User != "" && (o.Mechanism == "KERBEROS" || o.Mechanism == "OIDC" || o.Mechanism == "CUSTOM" || o.Mechanism == "TOKEN"):
		return &Error{"mount option user= is for mechanism=SIMPLE; a ticket, a token or a proof says by itself who it is", "leave user= out; principal=USER@REALM chooses a ticket"}
	case o.Token != "" && o.TokenExec != "":
		return &Error{"mount options token= and token_exec= both say where the token comes from", "leave one of them out"}
	case o.User != "" && o.Cert != "" && o.Mechanism == "":
		return &Error{"mount options user= and cert= both say who it is", "leave user= out, or give mechanism=SIMPLE"}
	case o.Idmap == "off" && (o.Domain != "" || o.Nobody):
		return &Error{"mount option idmap=off leaves numbers as they are, so domain= and nobody mean nothing", "leave idmap=off out, or the others"}
	case o.Impersonate != "" && o.Identity != "impersonate":
		return &Error{fmt.Sprintf("mount options identity=%s and impersonate= exclude each other", o.Identity), "leave one of them out"}
	case o.Identity == "impersonate" && o.Mechanism == "SIMPLE":
		return &Error{"mount option identity=impersonate needs a proven name, and SIMPLE proves none", "give cert=FILE,key=FILE"}
	case o.Identity == "trusted" && o.Mechanism == "SIMPLE":
		return &Error{"mount option identity=trusted needs a proven name, and SIMPLE proves none", "give cert=FILE,key=FILE"}
	}
	return nil
}

// checkMechanism finds options of a mechanism that is not meant.
func (o *Options) checkMechanism() error {
	switch {
	case o.Agent != "":
		return &Error{"mount option agent= is for identity=caller", "leave it out"}
	case o.Mechanism != "KERBEROS" && (o.Principal != "" || o.Keytab != "" || o.CCache != "" || o.SPN != "" || o.Krb5Conf != ""):
		return &Error{"mount options principal=, keytab=, ccache=, spn= and krb5_conf= are for mechanism=KERBEROS", "give mechanism=KERBEROS"}
	case o.Keytab != "" && o.CCache != "":
		return &Error{"mount options keytab= and ccache= both say where the ticket comes from", "leave one of them out"}
	case o.Mechanism != "OIDC" && (o.Token != "" || o.TokenExec != "" || o.DPoPKey != ""):
		return &Error{"mount options token=, token_exec= and dpop_key= are for mechanism=OIDC", "give mechanism=OIDC; a delegation token is mechanism=TOKEN,token_file=FILE"}
	case o.Mechanism != "CUSTOM" && (o.Proof != "" || o.ProofExec != ""):
		return &Error{"mount options proof= and proof_exec= are for mechanism=CUSTOM", "give mechanism=CUSTOM"}
	case o.Mechanism == "CUSTOM" && (o.Proof == "") == (o.ProofExec == ""):
		return &Error{"mount option mechanism=CUSTOM needs a proof", "give one of proof=FILE and proof_exec=COMMAND"}
	case o.Mechanism != "TOKEN" && o.TokenFile != "":
		return &Error{"mount option token_file= is for mechanism=TOKEN", "give mechanism=TOKEN; the token of OIDC is token=FILE"}
	}
	return nil
}

// checkCaller does so where the callers have their own. The mount's own
// identity, if any, is a certificate or a keytab; mechanism= says what callers
// may show.
func (o *Options) checkCaller() error {
	switch {
	case o.Mechanism == "SIMPLE" || o.User != "":
		return &Error{"mount option identity=caller needs proven names, and SIMPLE proves none", "leave mechanism=SIMPLE and user= out"}
	case o.Impersonate != "":
		return &Error{"mount options identity=caller and impersonate= exclude each other", "leave one of them out"}
	case o.Mechanism == "CUSTOM":
		return &Error{"mount option identity=caller is for tickets, tokens and certificates, not for CUSTOM", "leave identity=caller out"}
	case o.DPoPKey != "":
		return &Error{"mount option dpop_key= is one key for all, and with identity=caller each shows its own token", "leave one of them out"}
	case o.Token == "login":
		return &Error{"mount option token=login is the login of who mounts, and with identity=caller each has its own", "let each keep a token in a file, as token=/run/user/%{uid}/wardfs/token"}
	case o.Mechanism == "CUSTOM" || o.Proof != "" || o.ProofExec != "":
		return &Error{"mount option mechanism=CUSTOM shows one proof for all, and with identity=caller each shows its own", "leave it out"}
	case o.TokenExec != "":
		return &Error{"mount option token_exec= is one token for all, and with identity=caller each shows its own", "give token=FILE with %{uid} in it"}
	case o.Keytab != "" && o.HasCert():
		return &Error{"mount options keytab= and cert= both say who the mount itself is", "leave one of them out"}
	case (o.Keytab == "") != (o.Principal == ""):
		return &Error{"mount options keytab= and principal= belong together with identity=caller", "give both, or neither"}
	}
	for name, pattern := range map[string]string{"ccache": o.CCache, "token": o.Token, "agent": o.Agent} {
		if pattern != "" && !strings.Contains(pattern, "%{uid}") {
			return &Error{fmt.Sprintf("mount option %s=%s is one credential for all, and with identity=caller each shows its own", name, pattern), "write %{uid} where the user's number stands"}
		}
	}
	return nil
}
