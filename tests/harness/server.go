package harness

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// serveConfig is a server over what a `wardfs dev` made, for mounts like its own.
const serveConfig = `dir: %[1]s
listen: %[2]s
metrics: {listen: ""}
tls: {cert: %[1]s/tls/server.pem, key: %[1]s/tls/server.key, ca: %[1]s/tls/ca.pem, client_auth: require}
auth: {mechanisms: [X509]}
exports: [{path: /, who: ["*"], access: rw, squash: none, trusted: true}]
proxy: [{principal: root, states_callers: true}]
`

// Server is one `wardfs serve`. Its mounts are processes of their own, so that
// either can be killed while the other lives.
type Server struct {
	ward   *Ward // its folder, its log and its process
	listen string
	args   []string
}

// StartServer starts a server, with args behind its own, and ends it when t
// does.
func StartServer(t testing.TB, args ...string) *Server {
	t.Helper()
	w := Start(t) // makes the certificates
	listen := w.Address(t)
	w.Down(t)
	s := &Server{ward: w, listen: listen, args: args}
	s.Up(t)
	return s
}

// Up starts what was stopped or killed, over the same data, where it was.
func (s *Server) Up(t testing.TB) {
	t.Helper()
	file := filepath.Join(s.ward.base, "serve.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, serveConfig, s.ward.dir, s.listen), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := s.ward.launch("serve", append([]string{"--config", file}, s.args...))
	if err == nil {
		err = p.ready("ready:")
	}
	s.ward.proc = p
	if err != nil {
		t.Fatalf("wardfs serve: %v\n%s", err, s.ward.Logs())
	}
}

// Kill9 kills the server alone.
func (s *Server) Kill9() {
	s.ward.proc.kill()
	s.ward.proc = nil
}

// Down ends the server by SIGTERM and fails the test unless that is clean.
func (s *Server) Down(t testing.TB) { s.ward.Down(t) }

// Address is where it listens.
func (s *Server) Address() string { return s.listen }

// Dir is the data folder, Logs what server and mounts wrote, Pid the server.
func (s *Server) Dir() string  { return s.ward.dir }
func (s *Server) Logs() string { return s.ward.Logs() }
func (s *Server) Pid() int     { return s.ward.Pid() }

// A Mount is one `wardfs mount`.
type Mount struct {
	s    *Server
	mnt  string
	args []string
	proc *process // nil while it is down
}

// Mount mounts the server with those options and unmounts when t ends.
func (s *Server) Mount(t testing.TB, options ...string) *Mount {
	t.Helper()
	mnt, err := os.MkdirTemp(s.ward.base, "mnt")
	if err != nil {
		t.Fatal(err)
	}
	m := &Mount{s: s, mnt: mnt, args: []string{"-f", "dev:" + s.ward.dir, mnt}}
	for _, o := range options {
		m.args = append(m.args, "-o", o)
	}
	t.Cleanup(func() {
		if m.proc != nil {
			if err := m.proc.terminate(mnt); err != nil {
				t.Errorf("mount: SIGTERM: %v", err)
			}
		}
	})
	m.Up(t)
	return m
}

// Path is where it is mounted.
func (m *Mount) Path() string { return m.mnt }

// Pid is the process that mounts.
func (m *Mount) Pid() int { return m.proc.cmd.Process.Pid }

// Up mounts what was killed again, at the same place.
func (m *Mount) Up(t testing.TB) {
	t.Helper()
	p, err := m.s.ward.launch("mount", m.args)
	if err == nil {
		m.proc = p
		err = p.ready("ready:")
	}
	if err != nil {
		t.Fatalf("wardfs mount: %v\n%s", err, m.s.Logs())
	}
}

// Kill9 kills the mount alone and takes away what is left of it. Programs in
// the midst of a call get an error.
func (m *Mount) Kill9(t testing.TB) {
	t.Helper()
	m.proc.killMounted(t, m.mnt)
	m.proc = nil
}

// Wait waits until the mount has ended by itself and answers what was not clean
// about it.
func (m *Mount) Wait() error {
	p := m.proc
	select {
	case <-p.done:
		m.proc = nil
		return p.err
	case <-time.After(patience):
		return errors.New("it did not end in time")
	}
}

// Down ends the mount by SIGTERM and answers what was not clean about it.
func (m *Mount) Down() error {
	p := m.proc
	m.proc = nil
	return p.terminate(m.mnt)
}
