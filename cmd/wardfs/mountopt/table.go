package mountopt

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wardfs/wardfs/cmd/wardfs/config"
)

// Option is a line of the table of options.
type Option struct {
	Name  string
	Value string // what to write after =, in words; empty: it takes none
	Doc   string // empty: taken for the sake of fstab, and without effect here

	flag  func(*Options)               // when it stands alone; nil: it may not
	value func(*Options, string) error // when it has a value; nil: it may not
}

func find(name string) (Option, bool) {
	if strings.HasPrefix(name, "x-") || strings.HasPrefix(name, "X-") || strings.HasPrefix(name, "comment") {
		return Option{Name: name, flag: nothing, value: ignore}, true
	}
	for _, t := range table() {
		if t.Name == name {
			return t, true
		}
	}
	return Option{}, false
}

func nothing(*Options)              {}
func ignore(*Options, string) error { return nil }

// Table is the options that have an effect, in the order of the reference.
func Table() (shown []Option) {
	for _, t := range table() {
		if t.Doc != "" {
			shown = append(shown, t)
		}
	}
	return shown
}

// Ignored are the names of those that have none.
func Ignored() (names []string) {
	for _, t := range table() {
		if t.Doc == "" {
			names = append(names, t.Name)
		}
	}
	return names
}

func table() []Option {
	return slices.Concat(ours(), kernels(), fuses(), fstabs())
}

func ours() []Option {
	return []Option{
		text("ca", "FILE", "authorities that the server's certificate must be of; default: those of this host", func(o *Options) *string { return &o.CA }),
		text("cert", "FILE", "the certificate to show; its common name is the principal", func(o *Options) *string { return &o.Cert }),
		text("key", "FILE", "its key", func(o *Options) *string { return &o.Key }),
		text("key_password", "FILE", "file with the passphrase of the key, or env:NAME", func(o *Options) *string { return &o.KeyPassword }),
		text("keystore", "FILE", "JKS or PKCS#12 with certificate and key, instead of cert= and key=", func(o *Options) *string { return &o.Keystore }),
		text("keystore_password", "FILE", "file with its password, or env:NAME", func(o *Options) *string { return &o.KeystorePassword }),
		text("alias", "NAME", "which key of the keystore", func(o *Options) *string { return &o.Alias }),
		text("truststore", "FILE", "JKS or PKCS#12 with authorities, instead of ca=", func(o *Options) *string { return &o.Truststore }),
		text("truststore_password", "FILE", "file with its password, or env:NAME", func(o *Options) *string { return &o.TruststorePassword }),
		text("tls_dir", "DIR", "directory of pairs NAME.key, NAME.crt: the first is shown, all are trusted", func(o *Options) *string { return &o.TLSDir }),
		{Name: "pin", Value: "SHA256", Doc: "fingerprint that the server's certificate or its authority must have; may be given several times", value: func(o *Options, v string) error {
			o.Pins = append(o.Pins, v)
			return nil
		}},
		text("server_name", "NAME", "the name to expect in the server's certificate, instead of the host", func(o *Options) *string { return &o.ServerName }),
		set("any_server_name", "do not check the name in the server's certificate, only who issued it; needs ca=, truststore=, tls_dir= or pin=, and is logged each day", func(o *Options) { o.AnyName = true }),
		{Name: "identity", Value: "mount|caller|trusted|impersonate", Doc: "as whom to act: `mount` as the one principal of the mount; `caller` as each local user by its own ticket or token; `trusted` as each caller; `impersonate` as the user that impersonate= names, or without it as each local user by name (the server must allow the last two)", value: setIdentity},
		{Name: "impersonate", Value: "USER", Doc: "the user to act for, as whom the server proves the certificate to be; it must have a rule of proxy", value: setImpersonate},
		text("idmap", "off|FILE", "owners go by name; a FILE names numbers beside those of this host, off takes numbers as they are", func(o *Options) *string { return &o.Idmap }),
		text("domain", "NAME", "what this host's names have after an @ that the filesystem's don't, as idmapd's Domain", func(o *Options) *string { return &o.Domain }),
		set("nobody", "show owners whose names this host doesn't know as nobody (65534), not as numbers of their own", func(o *Options) { o.Nobody = true }),
		oneOf("mechanism", "how to prove it; default X509 with a certificate, else SIMPLE", func(o *Options) *string { return &o.Mechanism }, "SIMPLE", "X509", "KERBEROS", "OIDC", "CUSTOM", "TOKEN"),
		text("principal", "USER@REALM", "whose ticket to use", func(o *Options) *string { return &o.Principal }),
		text("keytab", "FILE", "log in with the principal's keys from there", func(o *Options) *string { return &o.Keytab }),
		text("ccache", "FILE:PATH|DIR:PATH", "the ticket cache; default: KRB5CCNAME, or that of who mounts. With identity=caller a pattern for each user's, as FILE:/tmp/krb5cc_%{uid}", func(o *Options) *string { return &o.CCache }),
		text("spn", "wardfs/HOST", "the server's principal, without its realm; default: of the host that is mounted", func(o *Options) *string { return &o.SPN }),
		text("krb5_conf", "FILE", "default: KRB5_CONFIG, or /etc/krb5.conf", func(o *Options) *string { return &o.Krb5Conf }),
		text("token", "FILE|login", "the token of OIDC, read anew each time, or that of `wardfs login`; default: WARDFS_TOKEN. With identity=caller a pattern, as /run/user/%{uid}/wardfs/token", func(o *Options) *string { return &o.Token }),
		text("dpop_key", "FILE", "the key that the token is bound to (cnf: jkt), in PEM; read anew each time", func(o *Options) *string { return &o.DPoPKey }),
		text("proof", "FILE", "the proof of CUSTOM, read anew each time", func(o *Options) *string { return &o.Proof }),
		text("proof_exec", "COMMAND", "a program that prints it", func(o *Options) *string { return &o.ProofExec }),
		text("agent", "PATH", "with identity=caller, the pattern of the sockets of users' agents; default /run/user/%{uid}/wardfs/agent.sock", func(o *Options) *string { return &o.Agent }),
		text("token_file", "FILE", "the delegation token of mechanism=TOKEN, read anew each time; nobody else may read the file; default: WARDFS_DELEGATION_TOKEN", func(o *Options) *string { return &o.TokenFile }),
		text("token_exec", "COMMAND", "a plugin that prints it, as kubectl's do (ExecCredential)", func(o *Options) *string { return &o.TokenExec }),
		{Name: "user", Value: "NAME", Doc: "the name that SIMPLE states; default: who mounts. Alone it is fstab's word", flag: nothing, value: setUser},
		{Name: "memory", Value: "64MiB", Doc: "most memory for data that is cached or not yet written; default 256MiB", value: setMemory},
		{Name: "timeo", Value: "60s", Doc: "how long to wait for a server that is away; a bare number is tenths of a second, as for NFS", value: setTimeo},
		set("soft", "fail an operation that waited for timeo; a program gets ETIMEDOUT", func(o *Options) { o.Soft = true }),
		set("hard", "wait for ever; the default", func(o *Options) { o.Soft = false }),
		text("log", "FILE", "where the daemon logs; default: the system's log", func(o *Options) *string { return &o.Log }),
		oneOf("log_level", "the least level that is logged", func(o *Options) *string { return &o.LogLevel }, "debug", "info", "warn", "error"),
		{Name: "log_format", Value: "text|json", Doc: "how a log line looks", value: func(o *Options, v string) error {
			o.LogJSON = v == "json"
			return among(v, "text", "json")
		}},
	}
}

func kernels() []Option {
	return []Option{
		set("ro", "read only", func(o *Options) { o.ReadOnly = true }),
		set("rw", "read and write; the default", func(o *Options) { o.ReadOnly = false }),
		set("nosuid", "set-id bits have no effect", func(o *Options) { o.NoSuid = true }),
		set("suid", "they have", func(o *Options) { o.NoSuid = false }),
		set("nodev", "device files can't be opened", func(o *Options) { o.NoDev = true }),
		set("dev", "they can", func(o *Options) { o.NoDev = false }),
		set("noexec", "programs can't be run from here", func(o *Options) { o.NoExec = true }),
		set("exec", "they can; the default", func(o *Options) { o.NoExec = false }),
		set("noatime", "reading changes no access time", func(o *Options) { o.NoAtime = true }),
		set("relatime", "it does, now and then; the default", func(o *Options) { o.NoAtime = false }),
	}
}

func fuses() []Option {
	return []Option{
		set("allow_other", "every local user may enter; the default for root where each has an identity of its own", func(o *Options) { o.AllowOther = Yes }),
		set("noallow_other", "only who mounts may enter; the default otherwise", func(o *Options) { o.AllowOther = No }),
		set("default_permissions", "the same as permissions=kernel", func(o *Options) { o.NoDefaultPermissions = false }),
		set("no_default_permissions", "the same as permissions=server", func(o *Options) { o.NoDefaultPermissions = true }),
		{Name: "permissions", Value: "kernel|server", Doc: "who judges: `kernel` and server both, the default; or the `server` alone, asked at every step of a path: for a host whose groups are not the server's", value: setPermissions},
		set("nonempty", "mount over a directory that has entries", func(o *Options) { o.NonEmpty = true }),
		{Name: "attr_timeout", Value: "30s", Doc: "how long attributes may be used without asking, unless the server tells of a change", value: seconds(func(o *Options) *time.Duration { return &o.AttrTimeout })},
		{Name: "entry_timeout", Value: "30s", Doc: "how long the kernel may use names without asking, unless the server tells of a change", value: seconds(func(o *Options) *time.Duration { return &o.EntryTimeout })},
		{Name: "negative_timeout", Value: "0s", Doc: "how long the kernel may remember that a name is not there", value: seconds(func(o *Options) *time.Duration { return &o.NegativeTimeout })},
		text("fsname", "NAME", "what to show as the source; default: SPEC", func(o *Options) *string { return &o.Fsname }),
		{Name: "max_write", Value: "1MiB", Doc: "most bytes of one request", value: size(4<<10, 4<<20, func(o *Options) *config.Size { return &o.MaxWrite })},
		{Name: "max_read", Value: "1MiB", value: ignore},
		{Name: "readahead", Value: "4MiB", Doc: "how far to read ahead of a sequential reader", value: size(4<<10, 1<<30, func(o *Options) *config.Size { return &o.ReadAhead })},
		set("debug", "log every message to and from the kernel, names included", func(o *Options) { o.Debug = true }),
		{Name: "subtype", Value: "wardfs", value: func(_ *Options, v string) error { return among(v, "wardfs") }},
		{Name: "blkdev", flag: nothing}, {Name: "auto_unmount", flag: nothing}, {Name: "big_writes", flag: nothing},
		{Name: "kernel_cache", flag: nothing}, {Name: "auto_cache", flag: nothing},
	}
}

// fstabs are words of mount(8), mount.nfs and mount.ceph that a line may have:
// what they ask for is so here anyway, or is mount(8)'s own affair.
func fstabs() (all []Option) {
	for _, n := range []string{"defaults", "auto", "noauto", "nouser", "users", "owner", "group", "_netdev", "_rnetdev",
		"sync", "async", "dirsync", "silent", "loud", "mand", "nomand", "diratime", "nodiratime", "norelatime", "strictatime",
		"nostrictatime", "lazytime", "nolazytime", "acl", "fg"} {
		all = append(all, Option{Name: n, flag: nothing})
	}
	return append(all, Option{Name: "nofail", flag: func(o *Options) { o.NoFail = true }})
}

func set(name, doc string, f func(*Options)) Option { return Option{Name: name, Doc: doc, flag: f} }

func text(name, value, doc string, at func(*Options) *string) Option {
	return Option{Name: name, Value: value, Doc: doc, value: func(o *Options, v string) error {
		if v == "" {
			return errors.New("is empty")
		}
		*at(o) = v
		return nil
	}}
}

func oneOf(name, doc string, at func(*Options) *string, words ...string) Option {
	return Option{Name: name, Value: strings.Join(words, "|"), Doc: doc, value: func(o *Options, v string) error {
		*at(o) = v
		return among(v, words...)
	}}
}

func among(v string, words ...string) error {
	if slices.Contains(words, v) {
		return nil
	}
	return fmt.Errorf("%q is not known", v)
}

func setUser(o *Options, v string) error {
	if v == "" || strings.ContainsAny(v, " \t/:") {
		return fmt.Errorf("%q is no name", v)
	}
	o.User = v
	return nil
}

func setIdentity(o *Options, v string) error {
	o.Identity = v
	return among(v, "mount", "caller", "trusted", "impersonate")
}

// setImpersonate says identity=impersonate too, unless another is said.
func setImpersonate(o *Options, v string) error {
	if v == "" || strings.ContainsAny(v, " \t/:,") {
		return fmt.Errorf("%q is no name", v)
	}
	if o.Impersonate = v; o.Identity == "" {
		o.Identity = "impersonate"
	}
	return nil
}

func setMemory(o *Options, v string) error {
	return size(8<<20, 1<<50, func(o *Options) *config.Size { return &o.Memory })(o, v)
}

// setTimeo reads NFS's tenths of a second, or a duration.
func setTimeo(o *Options, v string) error {
	d, err := config.ParseDuration(v)
	if n, e := strconv.ParseUint(v, 10, 31); e == nil {
		d, err = time.Duration(n)*time.Second/10, nil
	}
	switch {
	case err != nil:
		return err
	case d < time.Second:
		return errors.New("is less than a second")
	}
	o.Timeout = d
	return nil
}

func size(least, most config.Size, at func(*Options) *config.Size) func(*Options, string) error {
	return func(o *Options, v string) error {
		n, err := config.ParseSize(v)
		if bytes, e := strconv.ParseUint(v, 10, 62); e == nil { // as FUSE options have them
			n, err = config.Size(bytes), nil
		}
		switch {
		case err != nil:
			return err
		case n < least || n > most:
			return fmt.Errorf("is not between %v and %v", least, most)
		}
		*at(o) = n
		return nil
	}
}

// seconds reads a duration or, as FUSE has it, a bare number of seconds.
func seconds(at func(*Options) *time.Duration) func(*Options, string) error {
	return func(o *Options, v string) error {
		d, err := config.ParseDuration(v)
		if s, e := strconv.ParseFloat(v, 64); e == nil && s >= 0 && s < 1e9 {
			d, err = time.Duration(s*float64(time.Second)), nil
		}
		if err != nil {
			return err
		}
		*at(o) = d
		return nil
	}
}

func setPermissions(o *Options, v string) error {
	o.NoDefaultPermissions = v == "server"
	return among(v, "kernel", "server")
}
