// Package refusals makes the mistakes that people make around a mount, and
// asks that each is answered by one line that names the cause, within ten
// seconds, with the documented exit code, leaving what runs as it was.
package refusals

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wardfs/wardfs/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m, nil) }

// A mount gives up after ten seconds; the rest is for a busy machine.
const limit = 13 * time.Second

// The exit codes of docs/cli.md.
const (
	unreachable = 4
	refused     = 5
	mountPoint  = 6
	inUse       = 7
	config      = 3
	wrongUsage  = 2
)

// plain checks the form of a refusal: one line with the cause, at most one
// with a hint, no trace of a panic, the code.
func plain(t *testing.T, r harness.Result, code int, cause string) {
	t.Helper()
	if r.Code != code {
		t.Errorf("exit code %d, want %d", r.Code, code)
	}
	var told []string // without what is logged on the way
	for line := range strings.Lines(r.Stderr) {
		if !strings.HasPrefix(line, "time=") {
			told = append(told, strings.TrimSpace(line))
		}
	}
	switch {
	case len(told) == 0 || len(told) > 2 || len(told) == 2 && !strings.HasPrefix(told[1], "wardfs: hint: "):
		t.Errorf("it is not told in one line and a hint:\n%s", r.Stderr)
	case !strings.HasPrefix(told[0], "wardfs: "):
		t.Errorf("the line does not say who speaks: %s", told[0])
	case !strings.Contains(told[0], cause):
		t.Errorf("the line does not name the cause %q: %s", cause, told[0])
	}
	if strings.Contains(r.Stderr, "panic") || strings.Contains(r.Stderr, "goroutine ") {
		t.Errorf("a panic:\n%s", r.Stderr)
	}
	if r.Stdout != "" {
		t.Errorf("on standard output: %q", r.Stdout)
	}
	if t.Failed() {
		t.Logf("in %v:\n%s", r.Took, r.Stderr)
	}
}

// alive fails unless the mount still does its work.
func alive(t *testing.T, w *harness.Ward) {
	t.Helper()
	name := filepath.Join(w.Mount(), "alive")
	if err := os.WriteFile(name, []byte(t.Name()), 0o644); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(name); err != nil || string(b) != t.Name() {
		t.Fatalf("read %q, %v", b, err)
	}
}

// TestMountPoints: where something is to be mounted and can't be.
func TestMountPoints(t *testing.T) {
	w := harness.Start(t)
	base := harness.TempDir(t)
	at := func(name string) string { return filepath.Join(base, name) }
	for _, err := range []error{
		os.Mkdir(at("full"), 0o755), os.WriteFile(at("full/x"), nil, 0o644), os.WriteFile(at("file"), nil, 0o644), os.Mkdir(at("free"), 0o755),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name, mnt, cause string
		code             int
	}{
		{"missing", at("missing"), "does not exist", mountPoint},
		{"not empty", at("full"), "is not empty", mountPoint},
		{"a file", at("file"), "is not a directory", mountPoint},
		{"below a file", at("file/x"), "file", mountPoint},
		{"in use", w.Mount(), "is mounted there already", inUse},
	} {
		for _, flag := range []string{"", "-f"} {
			t.Run(strings.TrimSpace("mount "+c.name+" "+flag), func(t *testing.T) {
				args := []string{"mount", "-o", w.Credentials(), w.Address(t), c.mnt}
				if flag != "" {
					args = append(args, flag)
				}
				plain(t, harness.Run(t, limit, args...), c.code, c.cause)
				if c.mnt != w.Mount() && harness.Mounted(c.mnt) {
					t.Errorf("%s is mounted", c.mnt)
				}
			})
		}
	}
	t.Run("dev on a mount point not empty", func(t *testing.T) {
		plain(t, harness.Run(t, limit, "dev", "--dir", at("data2"), "--mount", at("full")), mountPoint, "is not empty")
	})
	t.Run("dev on a mount point in use", func(t *testing.T) {
		plain(t, harness.Run(t, limit, "dev", "--dir", at("data3"), "--mount", w.Mount()), inUse, "is mounted there already")
	})
	t.Run("dev over a data folder in use", func(t *testing.T) {
		plain(t, harness.Run(t, limit, "dev", "--dir", w.Dir(), "--mount", at("free")), inUse, "in use")
	})
	t.Run("dev over a file", func(t *testing.T) {
		plain(t, harness.Run(t, limit, "dev", "--dir", at("file"), "--mount", at("free")), config, "file")
	})
	alive(t, w)
}

// TestTrust: the wrong authority, name, certificate.
func TestTrust(t *testing.T) {
	w, other := harness.Start(t), harness.Start(t)
	mnt := harness.TempDir(t)
	theirs := filepath.Join(other.Dir(), "tls")
	for _, c := range []struct {
		name, options, cause string
		code                 int
	}{
		{"wrong CA", strings.Replace(w.Credentials(), "ca="+w.Dir(), "ca="+other.Dir(), 1), "authority", refused},
		{"no CA", strings.TrimPrefix(w.Credentials(), "ca="+w.Dir()+"/tls/ca.pem,"), "authority", refused},
		{"CA file missing", "ca=/nowhere/ca.pem", "/nowhere/ca.pem", config},
		{"CA file no CA", "ca=/etc/hostname", "/etc/hostname", config},
		{"wrong name", w.Credentials() + ",server_name=files.example.com", "files.example.com", refused},
		{"another's certificate", fmt.Sprintf("ca=%s/tls/ca.pem,cert=%[2]s/client.pem,key=%[2]s/client.key", w.Dir(), theirs), "authority", refused},
		{"key of another pair", fmt.Sprintf("ca=%[1]s/tls/ca.pem,cert=%[1]s/tls/client.pem,key=%[2]s/client.key", w.Dir(), theirs), "pair", config},
		{"no certificate", "ca=" + w.Dir() + "/tls/ca.pem", "certificate", refused},
		{"an unknown option", w.Credentials() + ",wardrobe", "wardrobe", wrongUsage},
	} {
		t.Run(c.name, func(t *testing.T) {
			plain(t, harness.Run(t, limit, "mount", "-o", c.options, w.Address(t), mnt), c.code, c.cause)
			if harness.Mounted(mnt) {
				t.Error("it is mounted all the same")
			}
		})
	}
	alive(t, w)
}

// TestWrongServers: what listens there is not what was meant.
func TestWrongServers(t *testing.T) {
	w := harness.Start(t)
	mnt := harness.TempDir(t)
	web := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(web.Close) // the tests below run in parallel, after this function
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0) // it complains of us, as it should
	secure.StartTLS()
	t.Cleanup(secure.Close)
	for _, c := range []struct {
		name, addr, cause string
		code              int
	}{
		{"a web server", web.Listener.Addr().String(), "HTTP", unreachable},
		{"a web server with TLS", secure.Listener.Addr().String(), "not wardfs", unreachable},
		{"silence", listen(t, func(c net.Conn) { io.Copy(io.Discard, c) }), "", unreachable},
		{"noise", listen(t, func(c net.Conn) { c.Write([]byte(strings.Repeat("\x00\xff noise", 100))); io.Copy(io.Discard, c) }), "TLS", unreachable},
		{"a hang-up", listen(t, func(net.Conn) {}), "", unreachable},
		{"a mail server", listen(t, func(c net.Conn) { io.WriteString(c, "220 mail ESMTP\r\n"); io.Copy(io.Discard, c) }), "TLS", unreachable},
		{"nothing", closedPort(t), "refused", unreachable},
		{"no such host", "no-such-host.invalid:7470", "no-such-host.invalid", unreachable},
		{"no port", "127.0.0.1:notaport", "notaport", wrongUsage},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			own, err := os.MkdirTemp(mnt, "m")
			if err != nil {
				t.Fatal(err)
			}
			plain(t, harness.Run(t, limit, "mount", "-o", w.Credentials(), c.addr, own), c.code, c.cause)
			if harness.Mounted(own) {
				t.Error("it is mounted all the same")
			}
		})
	}
}

// TestWrongClients: what speaks to us is not a client. It is shown the door,
// and others are served meanwhile.
func TestWrongClients(t *testing.T) {
	w := harness.Start(t)
	for name, say := range map[string]string{
		"HTTP": "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/2": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "ssh": "SSH-2.0-OpenSSH_9.2\r\n",
		"zeros": strings.Repeat("\x00", 5000), "a TLS record too long": "\x16\x03\x01\xff\xff" + strings.Repeat("x", 70000), "nothing": "",
	} {
		t.Run(name, func(t *testing.T) {
			c, err := net.Dial("tcp", w.Address(t))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			io.WriteString(c, say) // the server may close before the end
			c.(*net.TCPConn).CloseWrite()
			c.SetReadDeadline(time.Now().Add(limit))
			if b, err := io.ReadAll(c); err != nil && os.IsTimeout(err) {
				t.Errorf("the connection stays open; it said %q", b)
			}
			alive(t, w)
		})
	}
	t.Run("TLS without a word", func(t *testing.T) {
		// The certificate is not what is tested here.
		c, err := tls.Dial("tcp", w.Address(t), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
		if err == nil {
			defer c.Close()
			io.WriteString(c, "no HTTP/2 preface")
			c.SetReadDeadline(time.Now().Add(limit))
			if _, err := io.ReadAll(c); err != nil && os.IsTimeout(err) {
				t.Error("the connection stays open")
			}
		}
		alive(t, w)
	})
	t.Run("half a handshake", func(t *testing.T) { // held open while others work
		for range 50 {
			c, err := net.Dial("tcp", w.Address(t))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			io.WriteString(c, "\x16\x03\x01")
		}
		alive(t, w)
		mnt := w.SecondMount(t)
		if b, err := os.ReadFile(filepath.Join(mnt, "alive")); err != nil || string(b) != t.Name() {
			t.Errorf("through a second mount: %q, %v", b, err)
		}
	})
}

// listen serves each connection by f on a port of its own.
func listen(t *testing.T, f func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				f(c)
			}()
		}
	}()
	return l.Addr().String()
}

// closedPort is an address where nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
