// Package config is the configuration of a wardfs server: one table of keys,
// with their defaults, units and words of explanation, from which the YAML
// file, the flags, the environment, the checks and the reference all come.
//
// It reads strictly: an unknown key, a value without its unit or a pair that
// makes no sense is an error that says where it stands. It opens nothing that
// the keys name.
//
//	c := config.Default()
//	err := c.File("/etc/wardfs/server.yaml")   // then the environment, then --set
//	err = c.Check()
package config

//go:generate go run github.com/wardfs/wardfs/cmd/wardfs config reference --output ../../../docs/config.md

import (
	"fmt"
	"time"
)

// Config has a field for each key. A zero Config has no defaults; see [Default].
type Config struct {
	Dir    string   `key:"dir" default:"/var/lib/wardfs" doc:"Where the server keeps its data. One server at a time uses it."`
	Listen string   `key:"listen" default:"127.0.0.1:7470" doc:"Host and port of the server; an empty host is every address of the machine. Always TLS."`
	Roles  []string `key:"roles" default:"namespace,chunk" choice:"namespace chunk" doc:"What the server does: names and attributes, the bytes of files, or both. This version needs both in one server."`

	TLS TLS `key:"tls"`

	Auth struct {
		Mechanisms []string `key:"mechanisms" default:"SIMPLE" choice:"SIMPLE X509 KERBEROS OIDC CUSTOM TOKEN" doc:"How a session may prove who it is. SIMPLE believes a stated name; X509 takes the common name of the client's certificate; KERBEROS a ticket; OIDC a signed token; CUSTOM, for tests, what a plugin takes; TOKEN a delegation token that this server has issued."`
		Superuser  string   `key:"superuser" doc:"The principal whom permissions do not bind, if it has proven its name: by anything but SIMPLE. Empty: the user who runs the server."`
		Supergroup string   `key:"supergroup" default:"supergroup" doc:"The group whose members permissions do not bind either, if they have proven their names. Empty: none."`
		CertName   string   `key:"certificate_name" default:"common_name" choice:"common_name email dns" doc:"Which name of a client's certificate is the principal of X509: its common name, or the one e-mail address or DNS name that it has."`
		Kerberos   Kerberos `key:"kerberos"`
		OIDC       OIDC     `key:"oidc"`
		Custom     Custom   `key:"custom"`
		Token      struct {
			MaxLife  time.Duration `key:"max_life" default:"168h" doc:"How long a delegation token can be renewed, at most, from its issue on."`
			Renewal  time.Duration `key:"renewal" default:"24h" doc:"For how long it is good, and good again after each renewal."`
			Unproven bool          `key:"unproven" default:"false" doc:"Issue tokens to sessions too that have but stated a name, by SIMPLE."`
		} `key:"token"`
		SimpleAnywhere bool `key:"simple_anywhere" default:"false" doc:"Accept SIMPLE on other addresses than loopback too. Whoever reaches the port can then be anyone."`
	} `key:"auth"`

	Exports []Export `key:"exports" doc:"Who may mount what, and how. None: the superuser alone, by X509, and everything. Read again at SIGHUP."`
	Proxy   []Proxy  `key:"proxy" doc:"Who may act for whom. Read again at SIGHUP."`
	Groups  struct {
		Source  string        `key:"source" default:"os" choice:"os ldap file none" doc:"Who has an account, and in which groups: as this host's name service says, an LDAP directory, a file; or everybody, in no group (none)."`
		File    string        `key:"file" doc:"For source file: lines of a user, a colon, and groups with commas between them, the primary one first."`
		Cache   time.Duration `key:"cache" default:"60s" doc:"Within which time a change is seen. 0s: the source is asked at each call."`
		MaxAge  time.Duration `key:"max_age" default:"1h" doc:"For how long the last answer counts while the source does not answer."`
		Timeout time.Duration `key:"timeout" default:"5s" doc:"How long to wait for one answer of the source."`

		LDAP struct {
			Servers      []string `key:"servers" doc:"URLs, ldap://HOST or ldaps://HOST, tried in turn."`
			StartTLS     bool     `key:"start_tls" default:"true" doc:"Turn ldap:// into TLS before anything is said. Without it, names and the password go in plain text."`
			CA           string   `key:"ca" doc:"PEM file with the authorities of the servers' certificates. Empty: those of this host."`
			ServerName   string   `key:"server_name" doc:"The name in the servers' certificates, if not the host of the URL."`
			BindDN       string   `key:"bind_dn" doc:"As whom to ask. Empty: anonymously."`
			PasswordFile string   `key:"password_file" doc:"File with its password, readable by the server alone, or env:NAME. Read at each new connection."`
			Schema       string   `key:"schema" default:"rfc2307" choice:"rfc2307 rfc2307bis ad" doc:"How groups name members: by memberUid (rfc2307), by member with the DN (rfc2307bis), or as Active Directory does."`
			Base         string   `key:"base" doc:"The DN below which everything is."`
			UserBase     string   `key:"user_base" doc:"The DN below which users are. Empty: groups.ldap.base."`
			GroupBase    string   `key:"group_base" doc:"The DN below which groups are. Empty: groups.ldap.base."`
			UserFilter   string   `key:"user_filter" doc:"Filter that finds a user, {0} being the name. Empty: by the schema."`
			GroupFilter  string   `key:"group_filter" doc:"Filter that every group must fit. Empty: by the schema."`
			MemberAttr   string   `key:"member_attr" doc:"The attribute of a group with its members. Empty: by the schema."`
			NameAttr     string   `key:"name_attr" default:"cn" doc:"The attribute with a group's name."`
			Nesting      uint32   `key:"nesting" default:"8" doc:"How deep groups within groups are followed. 0: not at all. Not with rfc2307, which has none."`
		} `key:"ldap"`
	} `key:"groups"`

	Root struct {
		Owner string `key:"owner" doc:"Name of the user whose the root directory of a fresh namespace is. Empty: root.uid."`
		Group string `key:"group" doc:"Name of its group. Empty: root.gid."`
		UID   uint32 `key:"uid" default:"0" doc:"Its owner as a bare number, which has no name. 0 is root."`
		GID   uint32 `key:"gid" default:"0" doc:"Its group as a bare number."`
		Mode  Mode   `key:"mode" default:"0755" doc:"Its permission bits, in octal."`
	} `key:"root"`

	Session struct {
		KeepAlive time.Duration `key:"keepalive" default:"10s" doc:"How often an idle session is asked whether it is there."`
		Timeout   time.Duration `key:"timeout" default:"60s" doc:"After how long without a sign a session is ended and its handles and locks are released."`
		Grace     time.Duration `key:"grace" default:"30s" doc:"How long after a start of the server the sessions of before may come back for what they held."`
	} `key:"session"`

	Limits struct {
		Sessions uint32 `key:"sessions" default:"4096" doc:"How many sessions one principal may have, those included in which it acts for others. 0: no end."`
		Handles  uint32 `key:"handles" default:"1048576" doc:"How many files and directories a session may have open. 0: no end."`
		Locks    uint32 `key:"locks" default:"65536" doc:"How many ranges a session may have locked, or wait for. 0: no end."`
		Names    uint32 `key:"names" default:"50000" doc:"How many names a principal may have entered into the table of names in a day; the superuser any. 0: no end."`
		Pending  Size   `key:"pending" default:"16GiB" doc:"How much a session may have put within chunk.sweep_age and not committed. 0B: no end."`
	} `key:"limits"`

	Metrics struct {
		Listen  string   `key:"listen" default:"127.0.0.1:7490" doc:"Host and port of Prometheus metrics (/metrics) and pprof (/debug/pprof/). Always TLS, and who reads must show a good certificate. Empty: off."`
		Readers []string `key:"readers" doc:"Principals whose certificates may read metrics and profiles. Empty: every certificate of an authority that is trusted there."`
		TLS     Material `key:"tls"`
	} `key:"metrics"`

	Log struct {
		Level  string `key:"level" default:"info" choice:"debug info warn error" doc:"The least level that is logged."`
		Format string `key:"format" default:"text" choice:"text json" doc:"How a line looks."`
	} `key:"log"`

	Engine struct {
		Dir   string `key:"dir" doc:"Where names and attributes lie. Empty: DIR/engine. A disk with fast syncs is worth most here."`
		Cache Size   `key:"cache" default:"64MiB" doc:"Memory for what was read from there."`
	} `key:"engine"`

	Chunk struct {
		Dir         string        `key:"dir" doc:"Where the bytes of files lie. Empty: DIR/chunks."`
		VolumeSize  Size          `key:"volume_size" default:"1GiB" doc:"At what size a volume, a file that holds blocks, is full."`
		CompactRate Size          `key:"compact_rate" default:"32MiB" doc:"How much a second is moved out of volumes that are mostly dead, at most."`
		SweepAge    time.Duration `key:"sweep_age" default:"1h" doc:"How old a block that no file names must be before it is removed."`
	} `key:"chunk"`

	Capability struct {
		Lifetime    time.Duration `key:"lifetime" default:"1h" doc:"For how long a mount that has opened a file may ask for its blocks before it must open it again, which it does by itself."`
		KeyLifetime time.Duration `key:"key_lifetime" default:"24h" doc:"For how long a key signs that right. It is accepted for a quarter of this more."`
	} `key:"capability"`

	Audit struct {
		Enabled    bool          `key:"enabled" default:"true" doc:"Write down who did what: docs/audit.md."`
		File       string        `key:"file" doc:"The file that is written. Empty: DIR/audit.log. A disk of its own keeps a full one from being everybody's."`
		Format     string        `key:"format" default:"hdfs" choice:"hdfs json" doc:"How a line looks: fields between tabs, as of HDFS and Alluxio, or an object of JSON."`
		Mode       Mode          `key:"mode" default:"0600" doc:"Permission bits of the files; 0640 lets a group read them."`
		Operations []string      `key:"operations" default:"write,read,session,admin" doc:"Which operations are written: names of them, or of groups; all is all. A denied one is written whatever it is."`
		Results    []string      `key:"results" default:"succeeded,failed,denied" choice:"succeeded failed denied" doc:"Of which results."`
		MaxSize    Size          `key:"max_size" default:"64MiB" doc:"At what size a file is turned over for a fresh one."`
		MaxAge     time.Duration `key:"max_age" default:"24h" doc:"At what age; 0s is never."`
		Keep       uint32        `key:"keep" default:"30" doc:"How many that were turned over are kept."`
		KeepFor    time.Duration `key:"keep_for" default:"0s" doc:"For how long one is kept at least, however many there are: docs/audit.md, A flood. 0s is no longer than keep says."`
		Queue      uint32        `key:"queue" default:"16384" doc:"How many records may wait to be written."`
		OnFull     string        `key:"on_full" default:"block" choice:"block drop" doc:"What becomes of a record when so many wait: its operation waits (block), or it is lost and counted (drop)."`
		OnError    string        `key:"on_error" default:"continue" choice:"block continue" doc:"What becomes of records while the file can't be written, as on a full disk: operations wait until it can (block), or go on, and what is lost is counted and said in the log (continue)."`
	} `key:"audit"`

	from map[string]string // where a key that is set was set: "file:line", "--set", a variable
}

// Error is one thing wrong with a configuration.
type Error struct {
	Where string // "file:line", "--set KEY", "WARDFS_KEY"; empty for a default
	Text  string
	Next  string
}

// Error reads "server.yaml:3: unknown key "listne"".
func (e *Error) Error() string {
	if e.Where == "" {
		return e.Text
	}
	return e.Where + ": " + e.Text
}

// Hint is the next step.
func (e *Error) Hint() string { return e.Next }

func (c *Config) wrong(key, next, format string, args ...any) error {
	return &Error{Where: c.from[key], Text: fmt.Sprintf(format, args...), Next: next}
}

// Default is the configuration when nothing is said.
func Default() *Config {
	c := &Config{from: map[string]string{}}
	for _, k := range Keys() {
		if k.Rule != nil {
			continue // none
		}
		if err := k.put(k.field(c), k.Default); err != nil {
			panic("config: default of " + k.Name + ": " + err.Error())
		}
	}
	return c
}

// IsSet reports whether a key was set rather than left to its default.
func (c *Config) IsSet(key string) bool { _, ok := c.from[key]; return ok }
