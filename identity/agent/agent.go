// Package agent lets a user's own process prove who the user is to a mount that
// acts for many: for ticket caches that no other process can read (KCM,
// KEYRING), for containers and for batch jobs. The agent listens on a unix
// socket, and answers only who may ask, which the kernel tells (SO_PEERCRED):
// the superuser, who mounts, and the user himself.
//
// The mount is given a proof for one TLS channel and not the ticket's key, so
// that it can prove nothing else. A token (OIDC) it is given as it is. The agent
// refuses to prove anything to other services than the one it was made for.
//
//	go agent.Serve(ctx, listener, agent.Config{Source: s})   // as the user
//	p := agent.Prover{Path: "/run/user/1000/wardfs/agent.sock", UID: 1000, Server: "wardfs/host"}
package agent

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Version is that of the messages. A peer of another is refused by name.
const Version = 1

// maxFrame is the most that a message has, in bytes: a token of the largest
// size, in base64, with room.
const maxFrame = 256 << 10

// A message is a length of four bytes, the most significant first, and so many
// bytes of JSON:
//
//	+--------+--------+--------+--------+---------------------
//	| length, 1 to maxFrame             | {"v":1,"op":...}
//	+--------+--------+--------+--------+---------------------
//
// The mount asks, the agent answers each question once, in order.

// The questions.
const (
	opStamp   = "stamp"   // which credential is there
	opProve   = "prove"   // a proof for a channel
	opConfirm = "confirm" // whether the server's answer to the last proof is genuine
)

// question is what a mount asks.
type question struct {
	V         int    `json:"v"`
	Op        string `json:"op"`
	Mechanism string `json:"mechanism,omitempty"` // of prove
	Server    string `json:"server,omitempty"`    // of prove: the service's principal
	Binding   []byte `json:"binding,omitempty"`   // of prove: what the proof is bound to
	Reply     []byte `json:"reply,omitempty"`     // of confirm
}

// answer is what the agent says.
type answer struct {
	V         int    `json:"v"`
	Error     string `json:"error,omitempty"`
	Mechanism string `json:"mechanism,omitempty"` // of stamp
	Stamp     string `json:"stamp,omitempty"`     // of stamp: "" is no credential
	Proof     []byte `json:"proof,omitempty"`     // of prove
	Confirm   bool   `json:"confirm,omitempty"`   // of prove: the server proves itself too
}

var errFrame = errors.New("agent: not a message of this protocol")

// send writes one message.
func send(w io.Writer, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if len(b) > maxFrame {
		return fmt.Errorf("%w: %d bytes", errFrame, len(b))
	}
	_, err = w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...))
	return err
}

// receive reads one message. What is not known in it is refused, as is what
// stands behind it.
func receive(r io.Reader, v any) error {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n == 0 || n > maxFrame {
		return fmt.Errorf("%w: a length of %d", errFrame, n)
	}
	var b bytes.Buffer // grows with what comes, not with what is said
	if _, err := io.CopyN(&b, r, int64(n)); err != nil {
		return fmt.Errorf("%w: cut short", errFrame)
	}
	d := json.NewDecoder(&b)
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("%w: %w", errFrame, err)
	}
	if d.More() {
		return fmt.Errorf("%w: more than one value", errFrame)
	}
	return nil
}
