// Package tests holds the house to its plan: who may import whom (this file)
// and what a file may look like (shape_test.go). The suites that run the whole
// system are in the directories below.
package tests

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

const module = "github.com/wardfs/wardfs"

// floors are the rooms from the ground up: kernel -> fuse -> client -> (wire)
// -> server -> store is the way data runs and imports run. A package imports
// its own room and floors below it.
var floors = map[string]int{
	"posix":      1,
	"acl":        2,
	"identity":   2,
	"encryption": 2,
	"proto":      3,
	"client":     4,
	"server":     4,
	"fuse":       5,
	"cmd":        6,
	"tests":      7,
}

// A ban keeps some importers from some imports.
type ban struct {
	who    []string // rooms or packages, with all that is below them
	what   []string // import paths, with all that is below them
	reason string
}

var bans = []ban{
	{[]string{"posix", "acl", "identity", "encryption"}, []string{"google.golang.org", "github.com/golang/protobuf"},
		"what is below proto has never heard of protobuf: the nouns outlive the wire"},
	{[]string{"fuse"}, []string{"google.golang.org", module + "/proto", module + "/server"},
		"the kernel's side speaks posix.Namespace; the wire is the client's business"},
	{[]string{"posix", "acl"}, []string{"os", "net", "syscall", "io/fs", "log", "database", "golang.org/x/sys", "unsafe"},
		"what can be decided without I/O is decided purely, so that both sides share it"},
	{[]string{"identity/idmap", "server/capability"}, []string{"os", "net", "syscall", "golang.org/x/sys"},
		"pure by DESIGN 4"},
	{[]string{"server", "client", "proto", "identity", "encryption", "fuse"}, []string{"flag", "expvar"},
		"only cmd reads flags, environment and files of configuration"},
}

// An owner is the one place that may import a library: where it hurts to
// replace it, it shall hurt in one place. A library that is not listed may not
// be imported at all.
type owner struct {
	library string
	rooms   []string
	reason  string
}

var owners = []owner{
	{"github.com/hanwen/go-fuse", []string{"fuse"}, "only fuse has heard of the kernel"},
	{"github.com/cockroachdb/pebble", []string{"server/engine", "tests/bench/engines"}, "an engine's driver stays in its body"},
	{"go.etcd.io/bbolt", []string{"tests/bench/engines"}, "measured for ADR 2, not shipped"},
	{"github.com/dgraph-io/badger", []string{"tests/bench/engines"}, "measured for ADR 2, not shipped"},
	{"github.com/go-ldap/ldap", []string{"identity/groups/ldap"}, "one place speaks to directories"},
	{"github.com/spf13", []string{"cmd"}, "flags are composition"},
	{"go.yaml.in/yaml", []string{"cmd"}, "configuration is read by cmd alone"},
	{"github.com/prometheus/client_golang/prometheus/promhttp", []string{"cmd"}, "who listens is composition"},
	{"github.com/prometheus", []string{"cmd", "server", "client", "fuse"}, "collectors live beside what they count"},
	{"google.golang.org/grpc", []string{"proto", "client", "server", "cmd"}, "the wire and its two ends"},
	{"google.golang.org/protobuf", []string{"proto", "client", "server"}, "the wire and its two ends"},
	{"google.golang.org/genproto", []string{"proto"}, "status details are the wire's"},
	{"github.com/rogpeppe/go-internal", []string{"tests", "cmd"}, "testscript tells the stories of the command line"},
	{"github.com/go-jose/go-jose", []string{"identity/oidc", "tests"}, "tokens are checked in one place"},
	{"github.com/jcmturner", []string{"identity/kerberos"}, "a library that needs watching: parsers that panic, a replay cache that lets some through"},
	{"github.com/pavlo-v-chernykh/keystore-go", []string{"identity/certs"}, "material of both sides is read in one place"},
	{"software.sslmate.com/src/go-pkcs12", []string{"identity/certs"}, "material of both sides is read in one place"},
	{"github.com/youmark/pkcs8", []string{"identity/certs"}, "material of both sides is read in one place"},
	{"github.com/dchest/siphash", []string{"server/namespace"}, "a directory's order of names, which nobody shall foresee"},
	{"golang.org/x/sys", []string{"server", "client", "fuse", "cmd", "tests"}, "system calls, where there is a system"},
	{"golang.org/x/sync", []string{"server", "client", "fuse", "cmd", "tests"}, "concurrency that the standard library lacks"},
	{"golang.org/x/term", []string{"cmd"}, "a terminal is the command's"},
}

// pkg is what `go list` tells of a package, its path relative to the module.
type pkg struct {
	Dir               string
	ImportPath        string
	GoFiles, CgoFiles []string
	TestGoFiles       []string
	XTestGoFiles      []string
	Imports           []string
}

// rel is the package's place in the house. A fixture below root counts as if
// root were the module.
func (p pkg) rel(root string) string {
	return strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, root), "/")
}

// under reports whether p is dir or lies below it.
func under(p, dir string) bool { return p == dir || strings.HasPrefix(p, dir+"/") }

func underAny(p string, dirs []string) bool {
	for _, d := range dirs {
		if under(p, d) {
			return true
		}
	}
	return false
}

func room(p string) string { r, _, _ := strings.Cut(p, "/"); return r }

// standard reports whether an import path is the standard library's: its first
// element has no dot.
func standard(p string) bool { return !strings.Contains(room(p), ".") }

// list asks go for the packages that match, without building anything.
func list(t *testing.T, patterns ...string) []pkg {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-e", "-json=Dir,ImportPath,GoFiles,CgoFiles,TestGoFiles,XTestGoFiles,Imports"}, patterns...)...)
	cmd.Dir = ".."
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	var pkgs []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
}

// lawless answers a line for each import of p that breaks the law. Tests may
// import more than what they test, so only what is built into a program counts.
func lawless(p pkg, root string) []string {
	from := p.rel(root)
	var bad []string
	report := func(imp, reason string) {
		bad = append(bad, fmt.Sprintf("%s imports %s: %s", from, strings.TrimPrefix(imp, module+"/"), reason))
	}
	floor, ok := floors[room(from)]
	if !ok {
		return []string{fmt.Sprintf("%s: no floor is known for it: give it a room of DESIGN 4", from)}
	}
	if len(p.CgoFiles) > 0 {
		bad = append(bad, from+" uses cgo: only the standard library may, where a C compiler is")
	}
	for _, imp := range p.Imports {
		if under(imp, root) {
			own := strings.TrimPrefix(imp, root+"/")
			if to := floors[room(own)]; room(own) != room(from) && to >= floor {
				report(own, fmt.Sprintf("floor %d may not look up to or across at floor %d", floor, to))
			}
			imp = module + "/" + own // so that bans fit a fixture too
		} else if why := unowned(from, imp); why != "" {
			report(imp, why)
		}
		for _, b := range bans {
			if underAny(from, b.who) && underAny(imp, b.what) {
				report(imp, b.reason)
			}
		}
		if imp == "testing" && !strings.HasSuffix(path.Base(from), "test") && room(from) != "tests" {
			report(imp, "only contract suites and tests/ are made of tests")
		}
	}
	return bad
}

// unowned answers why from may not import the library imp, or "".
func unowned(from, imp string) string {
	if standard(imp) {
		return ""
	}
	for _, o := range owners {
		if under(imp, o.library) {
			if underAny(from, o.rooms) {
				return ""
			}
			return fmt.Sprintf("its owner is %s: %s", strings.Join(o.rooms, ", "), o.reason)
		}
	}
	return "a library needs an owner: add it to the table with a reason, or do without it"
}

func TestImportLaw(t *testing.T) {
	pkgs := list(t, "./...")
	if len(pkgs) < 3 {
		t.Fatalf("go list found only %d packages: the law was not tested", len(pkgs))
	}
	for _, p := range pkgs {
		for _, line := range lawless(p, module) {
			t.Error(line)
		}
	}
}

// The fixture breaks each kind of rule once; each must be seen.
func TestImportLawSeesOffenders(t *testing.T) {
	const root = module + "/tests/testdata/lawless"
	dirs, err := filepath.Glob("testdata/lawless/*")
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no fixture: %v", err)
	}
	var got []string
	for _, d := range dirs {
		for _, p := range list(t, "./tests/"+filepath.ToSlash(d)) {
			got = append(got, lawless(p, root)...)
		}
	}
	text := strings.Join(got, "\n")
	for _, want := range []string{
		"posix imports os: what can be decided without I/O",
		"posix imports client: floor 1 may not",
		"client imports server: floor 4 may not",
		"server imports github.com/hanwen/go-fuse/v2/fuse: its owner is fuse",
		"acl imports google.golang.org/protobuf/proto: what is below proto",
		"acl imports example.com/unheard/of: a library needs an owner",
		"fuse imports server: the kernel's side",
		"client imports testing: only contract suites",
		"attic: no floor is known",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("not seen: %s", want)
		}
	}
	if t.Failed() {
		t.Logf("seen:\n%s", text)
	}
}
