package wire

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/wardfs/wardfs/client"
	"github.com/wardfs/wardfs/identity"
	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/audit"
)

// audited is a house that writes down all of its operations.
func audited(t testing.TB, c audit.Config) (*house, func() []audit.Line) {
	h := newHouse(t)
	h.stop()
	c.Path = filepath.Join(t.TempDir(), "audit.log")
	h.audit = &c
	h.start()
	return h, func() (all []audit.Line) {
		h.stop()
		text, err := os.ReadFile(c.Path)
		must(t, err)
		for s := range strings.Lines(string(text)) {
			x, err := audit.Parse(strings.TrimSuffix(s, "\n"))
			must(t, err)
			all = append(all, x)
		}
		return all
	}
}

// What callers do is written down, with the paths as people know them.
func TestAudit(t *testing.T) {
	h, read := audited(t, audit.Config{})
	m := h.connect()
	ctx := t.Context()
	su, user := m.As(root), m.As(posix.Cred{UID: 1000, GID: 100})
	d, err := su.Mkdir(ctx, posix.RootIno, "d", 0o777, 0)
	must(t, err)
	e, err := user.Mkdir(ctx, d.Ino, "e\tcmd=unlink\n", 0o700, 0)
	must(t, err)
	f, _, err := m.Files().Create(ctx, user, e.Ino, "f", 0o600, 0, posix.OpenWrite)
	must(t, err)
	_, err = f.Write(ctx, []byte("bytes"), 0)
	must(t, err)
	must(t, f.Close(ctx))
	must(t, user.Rename(ctx, e.Ino, "f", d.Ino, "g", 0))
	_, err = user.Getattr(ctx, f.Ino())
	must(t, err)
	_, err = user.Setattr(ctx, f.Ino(), posix.SetAttr{Set: posix.SetMode, Mode: 0o640})
	must(t, err)
	must(t, user.Setxattr(ctx, f.Ino(), "user.a", []byte("secret"), 0))
	_, err = user.Symlink(ctx, d.Ino, "l", "/etc/passwd")
	must(t, err)
	_, err = user.Link(ctx, f.Ino(), d.Ino, "h")
	must(t, err)
	other := m.As(posix.Cred{UID: 1001, GID: 1001})
	if _, err := other.Lookup(ctx, e.Ino, "x"); posix.ErrnoOf(err) != posix.EACCES {
		t.Fatal(err)
	}
	if err := other.Rmdir(ctx, posix.RootIno, "none"); posix.ErrnoOf(err) == 0 {
		t.Fatal("removed what is not there")
	}
	m.Close(ctx)
	const nasty = `/d/e\x09cmd=unlink\x0a`
	want := []string{
		"attach  > true  via ", "mkdir /d > true 0 via root", "mkdir " + nasty + " > true 1000 via root", "create " + nasty + "/f > true 1000 via root",
		"commit * > true 1000 via root", "rename " + nasty + "/f > /d/g true 1000 via root", "setattr /d/g > true 1000 via root",
		"setxattr /d/g > user.a true 1000 via root", "symlink /d/l > /etc/passwd true 1000 via root", "link * > /d/h true 1000 via root",
		"lookup " + nasty + "/x > false EACCES 1001 via root", "rmdir /none > false ENOENT 1001 via root", "detach  > true  via ",
	}
	var got []string
	for _, x := range read() {
		// The path is told when the line is written: by then the file may have
		// its second name.
		if strings.HasPrefix(x.Cmd, "set") && x.Src == "/d/h" {
			x.Src = "/d/g"
		}
		got = append(got, strings.Join([]string{x.Cmd, src(x), ">", said(x), x.UID, "via", x.Via}, " "))
		if x.Session == 0 || x.Client != t.Name() || x.IP != "127.0.0.1" || x.Auth != identity.X509 || (x.Errno == "EACCES") == x.Allowed {
			t.Errorf("%+v", x)
		}
		if x.Cmd == "setattr" && (x.Mode != "rw-r-----" || x.Owner != "1000" || x.OwnGroup != "100" || x.Ino != f.Ino()) {
			t.Errorf("%+v", x)
		}
	}
	g, w := strings.Join(got, "\n"), strings.Join(want, "\n")
	if !slices.Equal(strings.Fields(g), strings.Fields(w)) {
		t.Errorf("got\n%s\nwant\n%s", g, w)
	}
	if strings.Contains(g, "secret") {
		t.Error("the value of an attribute is in the log")
	}
}

// src is where an operation was. What has had several names since may be told
// by any: there the path is not looked at.
func src(x audit.Line) string {
	if x.Cmd == "commit" || x.Cmd == "link" {
		return "*"
	}
	return x.Src
}

func said(x audit.Line) string {
	if x.Succeeded {
		return x.Dst + " true"
	}
	return x.Dst + " false " + x.Errno
}

// Who is not let in is written down too.
func TestAuditOfRefused(t *testing.T) {
	h, read := audited(t, audit.Config{Format: audit.JSON})
	c := h.config()
	c.Mechanism, c.Trusted, c.User = identity.Simple, true, "mallory"
	if m, err := client.Connect(t.Context(), c); err == nil {
		m.Close(t.Context())
		t.Fatal("SIMPLE may state its callers")
	}
	all := read()
	if len(all) != 1 || all[0].Cmd != "attach" || all[0].Allowed || all[0].User != "" || all[0].IP != "127.0.0.1" {
		t.Errorf("got %+v", all)
	}
}

// BenchmarkAudit says what the log costs a call that is answered from memory.
func BenchmarkAudit(b *testing.B) {
	for name, ops := range map[string][]string{"off": {}, "on": {"all"}} {
		b.Run(name, func(b *testing.B) {
			h, _ := audited(b, audit.Config{Operations: ops})
			m, err := client.Connect(b.Context(), h.config())
			must(b, err)
			defer m.Close(b.Context())
			ns := m.As(root)
			b.ReportAllocs()
			for b.Loop() {
				_, err := ns.Getattr(b.Context(), posix.RootIno)
				must(b, err)
			}
		})
	}
}
