package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"reflect"
	"strings"
	"syscall"
	"time"

	"github.com/wardfs/wardfs/posix"
)

// Error is what went wrong with material or a connection, in plain words.
//
// Its Errno says of what kind it is: EHOSTDOWN and ETIMEDOUT that nobody
// answers, EPROTO that who answers is no wardfs server, EACCES that one side
// refuses the other's certificate, EKEYEXPIRED that a certificate is not valid
// now, ENOENT, EIO and EINVAL that a file is missing or can't be used.
type Error struct {
	Errno posix.Errno
	Text  string // the cause, one line
	Next  string // the next step, one line; may be empty
	Err   error  // what the library said; may be nil

	ours bool // the other side has something against our certificate
}

// Refused reports whether the other side would not have our certificate, or
// wants one.
func (e *Error) Refused() bool { return e.ours }

// Error is the cause alone.
func (e *Error) Error() string { return e.Text }

// Hint is the next step.
func (e *Error) Hint() string { return e.Next }

// Unwrap makes errors.Is(err, posix.EACCES) hold.
func (e *Error) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Errno}
	}
	return []error{e.Errno, e.Err}
}

// Explain turns the error of a dial, a handshake or a first read with server,
// a "host:port", into an *Error. An error it knows nothing of comes back
// unchanged, nil as nil. The error must still have its types: one that went
// through gRPC is only text, ask [Probe] then.
func Explain(err error, server string) error {
	var done *Error
	if err == nil || errors.As(err, &done) {
		return err
	}
	for _, f := range []func(error) *Error{explainPeer, explainAlert, explainNet} {
		if e := f(err); e != nil {
			e.Text, e.Err = server+": "+e.Text, err
			return e
		}
	}
	return err
}

// explainPeer knows what we have against the other side.
func explainPeer(err error) *Error {
	var record tls.RecordHeaderError
	if errors.As(err, &record) {
		return &Error{Errno: posix.EPROTO, Text: "answers without TLS" + speaks(record.RecordHeader[:]),
			Next: "check the port; a wardfs server never speaks without TLS (default port 7470)"}
	}
	var peer *x509.Certificate
	var bad *tls.CertificateVerificationError
	if errors.As(err, &bad) && len(bad.UnverifiedCertificates) > 0 {
		peer = bad.UnverifiedCertificates[0]
	}
	var host x509.HostnameError
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &host):
		return &Error{Errno: posix.EACCES, Text: fmt.Sprintf("its certificate is not for %q but for %s", host.Host, names(host.Certificate)),
			Next: "mount it by one of these names, or give -o server_name=NAME"}
	case errors.As(err, &unknown):
		return &Error{Errno: posix.EACCES, Text: fmt.Sprintf("its certificate%s was not issued by an authority trusted here", issuedBy(peer)),
			Next: "give the CA file of that server (ca=FILE), not another one's"}
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		var e *Error
		if errors.As(timely("its certificate", invalid.Cert, time.Now()), &e) {
			return &Error{Errno: e.Errno, Text: e.Text, Next: "renew the server's certificate, or set the clock right"}
		}
		return &Error{Errno: posix.EKEYEXPIRED, Text: "its certificate is not valid now", Next: "set the clocks of both hosts right"}
	case errors.As(err, &invalid):
		return &Error{Errno: posix.EACCES, Text: "its certificate may not be used for this: " + invalid.Error(),
			Next: "a server needs a certificate for server authentication"}
	case peer != nil:
		return &Error{Errno: posix.EACCES, Text: "its certificate was refused: " + bad.Err.Error()}
	}
	return nil
}

// alerts are the answers of RFC 8446 §6.2 that tell what the other side has
// against us.
var alerts = map[uint64]struct {
	errno      posix.Errno
	text, next string
}{
	40:  {posix.EPROTO, "refused the handshake", "both sides must speak TLS 1.3, and the server needs a certificate"},
	42:  {posix.EACCES, "refused our certificate", "give a client certificate that the server's authority issued (cert=, key=)"},
	43:  {posix.EACCES, "refused our certificate as not meant for clients", "issue one for client authentication"},
	44:  {posix.EACCES, "refused our certificate as revoked", "ask for a new one"},
	45:  {posix.EKEYEXPIRED, "refused our certificate as expired", "renew it, or set the clock right"},
	46:  {posix.EACCES, "refused our certificate", "give a client certificate that the server's authority issued (cert=, key=)"},
	48:  {posix.EACCES, "refused our certificate: it does not know its authority", "give a client certificate that the server's authority issued (cert=, key=)"},
	49:  {posix.EACCES, "denies us access", "ask the server's administrator"},
	51:  {posix.EACCES, "could not verify our certificate's signature", "certificate and key must be a pair, issued by the server's authority"},
	70:  {posix.EPROTO, "speaks no version of TLS that is accepted here", "both sides must speak TLS 1.3"},
	71:  {posix.EPROTO, "wants other TLS ciphers than we have", "both sides must speak TLS 1.3"},
	80:  {posix.EPROTO, "failed in the handshake", "look at the server's log"},
	112: {posix.EACCES, "does not know the name it was called by", "use the name in its certificate"},
	116: {posix.EACCES, "wants a client certificate and got none", "give one that the server's authority issued (cert=, key=)"},
	120: {posix.EPROTO, "speaks TLS but not wardfs", "check the port (default 7470)"},
}

// aboutUs reports whether an alert is about the certificate that we showed, or
// did not.
func aboutUs(alert uint64) bool { return alert >= 42 && alert <= 51 || alert == 116 }

// explainAlert knows what the other side has against us.
func explainAlert(err error) *Error {
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "remote error" {
		return nil
	}
	// crypto/tls keeps the type of its alerts to itself; it is a uint8 with
	// the number of the RFC.
	v := reflect.ValueOf(op.Err)
	if v.Kind() != reflect.Uint8 {
		return nil
	}
	if a, ok := alerts[v.Uint()]; ok {
		return &Error{Errno: a.errno, Text: a.text, Next: a.next, ours: aboutUs(v.Uint())}
	}
	return &Error{Errno: posix.EPROTO, Text: "ended the handshake: " + op.Err.Error(), Next: "look at the server's log"}
}

// explainNet knows why there is no connection at all.
func explainNet(err error) *Error {
	const up = "is the server running there? check host, port and firewall"
	var dns *net.DNSError
	var addr *net.AddrError
	var wait net.Error
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return &Error{Errno: posix.EHOSTDOWN, Text: "no host of that name", Next: "check the spelling and the resolver"}
	case errors.As(err, &dns):
		return &Error{Errno: posix.EHOSTDOWN, Text: "the name can't be resolved now: " + dns.Err, Next: "check the resolver (/etc/resolv.conf)"}
	case errors.As(err, &addr):
		return &Error{Errno: posix.EINVAL, Text: "is no address: " + addr.Err, Next: "write HOST:PORT, as files.example.com:7470 or [::1]:7470"}
	case errors.Is(err, syscall.ECONNREFUSED):
		return &Error{Errno: posix.EHOSTDOWN, Text: "connection refused", Next: "is the server running there? check the port"}
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTDOWN):
		return &Error{Errno: posix.EHOSTDOWN, Text: "no way to that host", Next: "check the network and its routes"}
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return &Error{Errno: posix.EPROTO, Text: "closed the connection in the handshake", Next: "check the port (default 7470), and look at the server's log"}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, syscall.ETIMEDOUT),
		errors.As(err, &wait) && wait.Timeout():
		return &Error{Errno: posix.ETIMEDOUT, Text: "no answer in time", Next: up}
	}
	return nil
}

// speaks guesses from its first bytes what a port is that is not ours.
func speaks(head []byte) string {
	for _, p := range []struct{ prefix, what string }{
		{"HTTP/", ": it is a plain HTTP server"}, {"<!DOC", ": it is a plain HTTP server"}, {"SSH-", ": it is an SSH server"}, {"220", ": it is a mail or FTP server"},
		{"\x00\x00", ": it is a plain HTTP/2 or gRPC server"}, {"-ERR", ": it is a Redis or POP server"},
	} {
		if strings.HasPrefix(string(head), p.prefix) {
			return p.what
		}
	}
	return ""
}

// names lists whom a certificate is for.
func names(c *x509.Certificate) string {
	all := append([]string(nil), c.DNSNames...)
	for _, ip := range c.IPAddresses {
		all = append(all, ip.String())
	}
	if len(all) == 0 {
		return "no host at all"
	}
	const most = 8
	if len(all) > most {
		all = append(all[:most], "…")
	}
	return strings.Join(all, ", ")
}

// name is what to call a certificate in a message.
func name(c *x509.Certificate) string {
	if c.Subject.CommonName == "" {
		return names(c)
	}
	return c.Subject.CommonName
}

func issuedBy(c *x509.Certificate) string {
	if c == nil || c.Issuer.CommonName == "" {
		return ""
	}
	return fmt.Sprintf(" (issued by %q)", c.Issuer.CommonName)
}
