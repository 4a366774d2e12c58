package config

import (
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/wardfs/wardfs/server/export"
)

// good is a file with nothing wrong in it.
const good = `
dir: /srv/ward
listen: ":7470"
tls:
  cert: /etc/wardfs/server.pem
  key: /etc/wardfs/server.key
  ca: /etc/wardfs/ca.pem
  client_auth: require
auth:
  mechanisms: [X509]
exports:
  - path: /
    who: ["*", "@staff"]
  - {path: /team/x, who: alice, hosts: [10.0.0.0/8, build1], access: rw, squash: all, anonuid: 99, umask: 027, max_mode: 0770, trusted: yes}
proxy:
  - principal: gateway
    users: [alice, bob]
  - {principal: host1, states_callers: true}
session: {keepalive: 5s, timeout: 1m30s}
metrics:
  listen: ""
root:
  mode: 01777
engine:
  cache: 1.5GiB
`

func read(t *testing.T, text string) (*Config, error) {
	t.Helper()
	c := Default()
	err := c.Read("f.yaml", strings.NewReader(text))
	if err == nil {
		err = c.Check()
	}
	return c, err
}

func TestGoodFile(t *testing.T) {
	c, err := read(t, good)
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case c.Dir != "/srv/ward", c.Listen != ":7470", c.TLS.ClientAuth != "require",
		c.Session.Timeout != 90*time.Second,
		c.Metrics.Listen != "", c.Root.Mode != 0o1777, c.Engine.Cache != 3<<29,
		c.Session.Grace != 30*time.Second, !c.IsSet("dir"), c.IsSet("session.grace"):
		t.Errorf("got %+v", c)
	}
	want := export.Rules{
		Exports: []export.Rule{
			{Path: "/", Who: []string{"*", "@staff"}, ReadOnly: true, AnonUID: 65534, AnonGID: 65534, MaxMode: 0o7777},
			{Path: "/team/x", Who: []string{"alice"}, Hosts: []string{"10.0.0.0/8", "build1"}, Squash: export.SquashAll,
				AnonUID: 99, AnonGID: 65534, Umask: 0o27, MaxMode: 0o770, Trusted: true},
		},
		Proxies: []export.Proxy{{Principal: "gateway", Users: []string{"alice", "bob"}}, {Principal: "host1", StatesCallers: true}},
	}
	if got := c.Rules("root"); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// TestRulesElsewhere: a flag and a variable replace the whole list, and their
// mistakes name them.
func TestRulesElsewhere(t *testing.T) {
	c, err := read(t, good)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Set(`exports=[{path: /b, who: [bob]}]`); err != nil || len(c.Exports) != 1 || c.Exports[0].Path != "/b" || c.Exports[0].Squash != "root" {
		t.Errorf("got %+v, %v", c.Exports, err)
	}
	if err := c.Env([]string{"WARDFS_PROXY="}, nil); err != nil || len(c.Proxy) != 0 {
		t.Errorf("got %+v, %v", c.Proxy, err)
	}
	for set, want := range map[string]string{
		"exports=/b":                          "--set exports: exports: is no list of rules",
		"exports=[{path: /b, whom: [bob]}]":   `--set exports: exports: unknown key "whom" of a rule`,
		"exports=[{path: /b":                  "--set exports: exports: yaml: ",
		"exports=[{path: b, who: [bob]}]":     `--set exports: exports: path: "b" is no absolute`,
		"proxy=[{principal: a, user: ['*']}]": `--set proxy: proxy: unknown key "user" of a rule`,
	} {
		err := c.Set(set)
		if err == nil {
			err = c.Check()
		}
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("--set %s: got %v, want %s", set, err, want)
		}
	}
	if err := c.Set("exports="); err != nil || len(c.Rules("me").Exports) != 1 || c.Rules("me").Exports[0].Who[0] != "me" {
		t.Errorf("got %+v, %v", c.Rules("me"), err)
	}
}

// TestWrongFiles: each mistake is named with its line, and the hint says what
// to write.
func TestWrongFiles(t *testing.T) {
	for name, tc := range map[string]struct{ text, want, hint string }{
		"unknown key":        {"dir: /x\nlistne: a:1\n", `f.yaml:2: unknown key "listne"`, `did you mean "listen"?`},
		"unknown below":      {"tls:\n  certt: x\n", `f.yaml:2: unknown key "tls.certt"`, `did you mean "tls.cert"?`},
		"unknown far":        {"zzzzzz: x\n", `f.yaml:1: unknown key "zzzzzz"`, "config reference"},
		"no unit":            {"session:\n  timeout: 60\n", `f.yaml:2: session.timeout: "60" has no unit`, "write 60s"},
		"wrong unit":         {"session:\n  timeout: 60sec\n", `f.yaml:2: session.timeout: "60sec" is no duration`, "60s"},
		"size unit":          {"engine:\n  cache: 64M\n", `f.yaml:2: engine.cache: "64M" has an unknown unit`, "MiB"},
		"size number":        {"engine:\n  cache: 64\n", `f.yaml:2: engine.cache: "64" has no unit`, "64B"},
		"negative size":      {"engine:\n  cache: -64MiB\n", `"-64MiB" is no size`, "64MiB"},
		"mode":               {"root:\n  mode: rwx\n", `f.yaml:2: root.mode: "rwx" are no permission bits`, "octal"},
		"number":             {"root:\n  uid: alice\n", `f.yaml:2: root.uid: "alice" is no number`, ""},
		"bool":               {"auth:\n  simple_anywhere: maybe\n", `f.yaml:2: auth.simple_anywhere: "maybe" is neither true nor false`, "true"},
		"choice":             {"log:\n  level: loud\n", `f.yaml:2: log.level: unknown value "loud"`, "debug, info, warn or error"},
		"choice in list":     {"auth:\n  mechanisms:\n    - X509\n    - KERBEROSS\n", `unknown value "KERBEROSS"`, "SIMPLE, X509, KERBEROS, OIDC, CUSTOM or TOKEN"},
		"list for one":       {"listen: [a:1, b:2]\n", "f.yaml:1: listen: takes one value", ""},
		"twice in list":      {"metrics: {readers: [a, a]}\n", `"a" stands twice`, ""},
		"map for one":        {"listen:\n  host: x\n", "f.yaml:2: listen: has no plain value", "write listen: VALUE"},
		"nothing":            {"listen:\n", "f.yaml:1: listen: has no plain value", ""},
		"one for map":        {"tls: yes\n", "f.yaml:1: expected KEY: VALUE lines below tls", ""},
		"key twice":          {"dir: /a\ndir: /b\n", "f.yaml:2: ", ""},
		"alias":              {"dir: &a /x\nlisten: *a\n", "f.yaml:2: listen: has no plain value", ""},
		"two documents":      {"dir: /x\n---\ndir: /y\n", "more than one document", "---"},
		"a list":             {"- dir\n", "f.yaml:1: expected KEY: VALUE", ""},
		"no YAML":            {"dir: /x\n  bad: [\n", "f.yaml:", ""},
		"address":            {tlsOK + "listen: 7470\n", `f.yaml:4: listen: "7470" is no address`, "HOST:PORT"},
		"big port":           {tlsOK + "listen: a:70000\n", `"a:70000" is no address`, ""},
		"same ports":         {tlsOK + "metrics: {listen: 127.0.0.1:7470}\n", "f.yaml:4: listen and metrics.listen are both", ""},
		"one role":           {tlsOK + "roles: [namespace]\n", `f.yaml:4: roles lacks "chunk"`, ""},
		"no certificate":     {"dir: /x\n", "tls.cert is not set", "wardfs cert"},
		"inline secret":      {"tls:\n  keystore_password: x\n", `f.yaml:2: unknown key "tls.keystore_password": a secret does not stand`, `did you mean "tls.keystore_password_file"?`},
		"two for metrics":    {tlsOK + "metrics:\n  tls:\n    cert: x\n    key: y\n    keystore: z\n", "f.yaml:6: metrics.tls.cert with metrics.tls.key, metrics.tls.keystore", "leave the others out"},
		"half for metrics":   {tlsOK + "metrics: {tls: {key: y}}\n", "metrics.tls.cert is not set", ""},
		"metrics apart":      {"tls: {dir: x}\nmetrics:\n  listen: :7490\n  tls: {ca: y}\n", "f.yaml:3: metrics.tls says whom to trust", "metrics.tls.cert"},
		"handshake":          {"tls: {cert: x, key: y, ca: z, handshake_timeout: 1ms}\n", "f.yaml:1: tls.handshake_timeout: 1ms", "20s"},
		"no key":             {"tls: {cert: x}\n", "tls.key is not set", ""},
		"require, no ca":     {"tls:\n  cert: x\n  key: y\n  client_auth: require\n", "f.yaml:4: tls.client_auth: require needs", "set tls.ca"},
		"metrics, no ca":     {"tls: {cert: x, key: y}\n", "metrics.listen needs tls.ca", `metrics.listen: ""`},
		"x509, not asked":    {tlsOK + "auth: {mechanisms: X509}\ntls2: 1\n", "f.yaml:5: unknown key", ""},
		"x509 off":           {"tls: {cert: x, key: y, ca: z, client_auth: none}\nauth: {mechanisms: X509}\n", "f.yaml:1: auth.mechanisms has X509, but tls.client_auth is none", ""},
		"simple everywhere":  {tlsOK + "listen: 0.0.0.0:7470\n", "f.yaml:4: SIMPLE believes every name", "simple_anywhere"},
		"capability":         {tlsOK + "capability: {lifetime: 0s}\n", "f.yaml:4: capability.lifetime (0s)", ""},
		"capability key":     {tlsOK + "capability: {key_lifetime: 2h}\n", "f.yaml:4: capability.key_lifetime (2h0m0s) is less than four times", ""},
		"keepalive":          {tlsOK + "session: {keepalive: 0s}\n", "f.yaml:4: session.keepalive must be", ""},
		"timeout":            {tlsOK + "session: {timeout: 15s}\n", "f.yaml:4: session.timeout (15s) is less", ""},
		"no mechanism":       {tlsOK + "auth: {mechanisms: []}\n", "f.yaml:4: auth.mechanisms is empty", ""},
		"no dir":             {tlsOK + "dir: \"\"\n", "f.yaml:4: dir is empty", ""},
		"volume":             {tlsOK + "chunk: {volume_size: 1MiB}\n", "f.yaml:4: chunk.volume_size", ""},
		"formerly trusted":   {"auth:\n  trusted: [a]\n", `f.yaml:2: unknown key "auth.trusted"`, "states_callers"},
		"exports, no list":   {"exports: /data\n", "f.yaml:1: exports: is no list of rules", "- path"},
		"exports, a map":     {"exports:\n  path: /data\n", "f.yaml:2: exports: is no list of rules", "- path"},
		"exports, null":      {"exports:\n", "f.yaml:1: exports: is no list of rules", ""},
		"a rule, no map":     {"exports:\n  - /data\n", "f.yaml:2: exports: a rule is KEY: VALUE lines", "- path"},
		"a rule's key":       {"exports:\n  - path: /\n    acess: rw\n", `f.yaml:3: exports: unknown key "acess" of a rule`, `did you mean "access"?`},
		"a rule's value":     {"exports:\n  - path: /\n    access: rwx\n", `f.yaml:3: exports.access: unknown value "rwx"`, "ro or rw"},
		"a rule's key again": {"exports:\n  - path: /\n    path: /b\n", `f.yaml:3: exports: key "path" stands twice in a rule, first in line 2`, ""},
		"a rule's list":      {"exports:\n  - path: /\n    who: [{a: b}]\n", "f.yaml:3: exports.who: an element", ""},
		"a rule's mode":      {"exports:\n  - {path: /, umask: rwx}\n", `f.yaml:2: exports.umask: "rwx" are no`, "octal"},
		"a rule, no path":    {tlsOK + "exports:\n  - who: [a]\n", `f.yaml:5: exports: path: "" is no absolute`, "absolute path"},
		"a rule, no who":     {tlsOK + "exports:\n  - {path: /, who: [a]}\n  - path: /b\n", "f.yaml:6: exports: who: names nobody", `"*"`},
		"a rule's path":      {tlsOK + "exports:\n  - who: [a]\n    path: /b/\n", `f.yaml:6: exports: path: "/b/" is no absolute`, ""},
		"a rule's host":      {tlsOK + "exports:\n  - who: [a]\n    path: /\n    hosts:\n    - 10.0.0.0/40\n", `f.yaml:7: exports: hosts: "10.0.0.0/40" is no host`, "network"},
		"a rule's mechanism": {tlsOK + "exports:\n  - who: [a]\n    path: /\n    mechanisms: [KERBEROSS]\n", `f.yaml:7: exports: mechanisms: "KERBEROSS" is not in auth.mechanisms`, "write SIMPLE"},
		"anonuid":            {tlsOK + "exports:\n  - who: [a]\n    path: /\n    anonuid: 0\n", "f.yaml:7: exports: who is squashed to root", "65534"},
		"max_mode":           {tlsOK + "exports:\n  - {who: [a], path: /, max_mode: 0}\n", "f.yaml:5: exports: max_mode", ""},
		"umask":              {tlsOK + "exports:\n  - {who: [a], path: /, umask: 1777}\n", "f.yaml:5: exports: umask", ""},
		"proxy, nothing":     {tlsOK + "proxy:\n  - principal: svc\n", "f.yaml:5: proxy: principal: the rule allows nothing", "users"},
		"proxy, a group":     {tlsOK + "proxy:\n  - principal: svc\n    groups: ['@staff']\n", `f.yaml:6: proxy: groups: "@staff" is no name`, ""},
		"sweep":              {tlsOK + "chunk: {sweep_age: 1s}\n", "f.yaml:4: chunk.sweep_age", ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := read(t, tc.text)
			var e *Error
			if !errors.As(err, &e) || !strings.Contains(e.Error(), tc.want) || !strings.Contains(e.Next, tc.hint) {
				t.Errorf("got %v (hint %q)", err, hintOf(err))
			}
		})
	}
}

const tlsOK = "tls: {cert: x, key: y, ca: z}\n\n\n" // three lines

func hintOf(err error) string {
	if e := (*Error)(nil); errors.As(err, &e) {
		return e.Next
	}
	return ""
}

func TestAllMistakesAtOnce(t *testing.T) {
	_, err := read(t, "listne: x\nlog:\n  level: loud\n")
	if err == nil || strings.Count(err.Error(), "f.yaml:") != 2 {
		t.Errorf("got %v", err)
	}
}

func TestSimpleAnywhereIsAllowedLoudly(t *testing.T) {
	c, err := read(t, tlsOK+"listen: :7470\nauth: {simple_anywhere: true}\n")
	if err != nil || len(c.Warnings()) != 2 {
		t.Errorf("got %v, %v", err, c.Warnings())
	}
	if w := Default().Warnings(); len(w) != 1 || !strings.HasPrefix(w[0], "exports is not set") {
		t.Errorf("the defaults warn: %v", w)
	}
}

func TestSimpleRootIsAllowedLoudly(t *testing.T) {
	c, err := read(t, tlsOK+"exports:\n  - {path: /, who: '*', squash: none}\n  - {path: /a, who: '*'}\n  - {path: /b, who: '*', squash: none, mechanisms: X509}\n"+
		"auth: {mechanisms: [SIMPLE, X509]}\n")
	if err != nil || len(c.Warnings()) != 1 || !strings.HasPrefix(c.Warnings()[0], "f.yaml:5: a rule of exports") {
		t.Errorf("got %v, %q", err, c.Warnings())
	}
}

func TestOrderOfSources(t *testing.T) {
	c := Default()
	if err := c.Read("f", strings.NewReader("dir: /file\nlog: {level: warn}\nlisten: a:1\n")); err != nil {
		t.Fatal(err)
	}
	var odd []string
	err := c.Env([]string{"WARDFS_DIR=/env", "WARDFS_LOG_LEVEL=debug", "WARDFS_METRICS_LISTEN=", "WARDFS_LISTEM=x", "HOME=/"},
		func(name, hint string) { odd = append(odd, name+" "+hint) })
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Set("dir=/flag=1"); err != nil {
		t.Fatal(err)
	}
	if c.Dir != "/flag=1" || c.Log.Level != "debug" || c.Listen != "a:1" || c.Metrics.Listen != "" {
		t.Errorf("got %+v", c)
	}
	if len(odd) != 1 || odd[0] != `WARDFS_LISTEM did you mean "WARDFS_LISTEN"?` {
		t.Errorf("unknown: %q", odd)
	}
	if err := c.Env([]string{"WARDFS_SESSION_GRACE=9"}, nil); err == nil || !strings.HasPrefix(err.Error(), "WARDFS_SESSION_GRACE: ") {
		t.Errorf("got %v", err)
	}
	for set, want := range map[string]string{"dir": "has no =", "dri=/x": `--set: unknown key "dri"`, "session.grace=x": "--set session.grace: "} {
		if err := c.Set(set); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("--set %s: %v", set, err)
		}
	}
}

func TestExampleIsTheDefault(t *testing.T) {
	c := Default()
	if err := c.Read("example", strings.NewReader(Example())); err != nil {
		t.Fatal(err)
	}
	for _, k := range Keys() {
		if !c.IsSet(k.Name) {
			t.Errorf("%s is not in the example", k.Name)
		}
	}
	if err := errors.Join(c.Set("tls.cert=/c"), c.Set("tls.key=/k"), c.Set("tls.ca=/a"), c.Check()); err != nil {
		t.Errorf("with what it says is left to fill in: %v", err)
	}
	d := Default()
	c.from, d.from = nil, nil
	if c.Listen != d.Listen || c.TLS.HandshakeTime != d.TLS.HandshakeTime || c.Session != d.Session || c.Chunk != d.Chunk || c.Root != d.Root {
		t.Errorf("got %+v, want %+v", c, d)
	}
}

func TestEveryKeyIsExplained(t *testing.T) {
	envs := map[string]string{}
	for _, k := range Keys() {
		if k.Doc == "" {
			t.Errorf("%s has no doc", k.Name)
		}
		if was, twice := envs[k.Env()]; twice {
			t.Errorf("%s and %s share %s", was, k.Name, k.Env())
		}
		envs[k.Env()] = k.Name
	}
}

func TestReferenceIsCurrent(t *testing.T) {
	got, err := os.ReadFile("../../../docs/config.md")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != Reference() {
		t.Error("docs/config.md is old: run go generate ./cmd/wardfs/config")
	}
}

func TestDidYouMean(t *testing.T) {
	words := []string{"status", "serve", "mount", "umount", "version"}
	for in, want := range map[string]string{
		"statsu": `did you mean "status"?`, "moutn": `did you mean "mount"?`, "unmount": `did you mean "umount"?`,
		"verison": `did you mean "version"?`, "frobnicate": "none", "": "none",
		strings.Repeat("x", 1000): "none",
	} {
		if got := DidYouMean(in, words, "none"); got != want {
			t.Errorf("%.20q: got %q, want %q", in, got, want)
		}
	}
}

func TestMissingFile(t *testing.T) {
	err := Default().File("/no/such.yaml")
	if err == nil || err.Error() != "configuration /no/such.yaml can't be read: no such file or directory" {
		t.Errorf("got %v", err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(good)
	f.Add(Example())
	f.Add("a: &a [*a]\n")
	f.Add("exports: [{path: /, who: &w [a]}, {path: /b, who: *w}, 1, {? [x] : y}]\nproxy: [[]]\n")
	f.Add("? {a: b}\n: c\n")
	f.Add("!!binary x: 1\n<<: {dir: x}\n")
	f.Fuzz(func(t *testing.T, text string) {
		c := Default()
		err := c.Read("f", strings.NewReader(text))
		if err == nil {
			err = c.Check()
		}
		for _, line := range strings.Split(errText(err), "\n") {
			if err != nil && line == "" {
				t.Errorf("an empty line in %q", err)
			}
		}
	})
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func FuzzParseSize(f *testing.F) {
	for _, s := range []string{"0", "1B", "64MiB", "1.5GiB", "9e9TiB", ".", "NaNB", "InfMB", "99999999999999TiB"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if n, err := ParseSize(s); err == nil && n < 0 {
			t.Errorf("%q is %d", s, n)
		}
	})
}
