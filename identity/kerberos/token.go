package kerberos

import (
	"bytes"
	"crypto/md5"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/asn1tools"
	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/iana"
	"github.com/jcmturner/gokrb5/v8/iana/asnAppTag"
	"github.com/jcmturner/gokrb5/v8/iana/chksumtype"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/iana/msgtype"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
)

// A GSS-API token (RFC 2743, 3.1; RFC 4121, 4.1):
//
//	[APPLICATION 0] { OID 1.2.840.113554.1.2.2, id:2, Kerberos message }
//
// with id 01 00 for an AP-REQ and 02 00 for an AP-REP.
var (
	mechanism = asn1.ObjectIdentifier{1, 2, 840, 113554, 1, 2, 2}
	idRequest = []byte{1, 0}
	idReply   = []byte{2, 0}
)

// maxToken bounds what is parsed, in bytes: a ticket with a large list of
// groups of Active Directory has up to 64 KiB.
const maxToken = 96 << 10

func wrap(id, message []byte) ([]byte, error) {
	b, err := asn1.Marshal(mechanism)
	if err != nil {
		return nil, err
	}
	return asn1tools.AddASNAppTag(append(append(b, id...), message...), 0), nil
}

func unwrap(id, token []byte) (message []byte, err error) {
	if len(token) > maxToken {
		return nil, fmt.Errorf("a token of %d bytes", len(token))
	}
	var outer asn1.RawValue
	rest, err := asn1.Unmarshal(token, &outer)
	if err != nil || len(rest) > 0 || outer.Class != asn1.ClassApplication || outer.Tag != 0 || !outer.IsCompound {
		return nil, errors.New("not a GSS-API token")
	}
	var oid asn1.ObjectIdentifier
	body, err := asn1.Unmarshal(outer.Bytes, &oid)
	if err != nil || !oid.Equal(mechanism) {
		return nil, errors.New("not a token of Kerberos 5")
	}
	message, ok := bytes.CutPrefix(body, id)
	if !ok {
		return nil, errors.New("not the message of Kerberos that is due here")
	}
	return message, nil
}

// The checksum of an authenticator (RFC 4121, 4.1.1), little-endian:
//
//	0 length of the binding, 16   4 MD5 of the channel's binding   20 flags
const (
	checksumLen = 24
	flagMutual  = 2
)

func checksum(binding []byte) types.Checksum {
	b := make([]byte, checksumLen)
	binary.LittleEndian.PutUint32(b, md5.Size)
	sum := bindingSum(binding)
	copy(b[4:], sum[:])
	binary.LittleEndian.PutUint32(b[20:], flagMutual)
	return types.Checksum{CksumType: chksumtype.GSSAPI, Checksum: b}
}

// bindingSum is the MD5 of gss_channel_bindings_struct with no addresses. That
// it is MD5, the standard says; the sum lies encrypted in the authenticator,
// and who made it has no use for two bindings of one sum.
func bindingSum(binding []byte) [md5.Size]byte {
	data := append([]byte("tls-exporter:"), binding...)
	b := make([]byte, 20, 20+len(data))
	binary.LittleEndian.PutUint32(b[16:], uint32(len(data)))
	return md5.Sum(append(b, data...))
}

// checkBinding refuses an authenticator that was made for another channel.
func checkBinding(c types.Checksum, binding []byte) error {
	if c.CksumType != chksumtype.GSSAPI || len(c.Checksum) < checksumLen || binary.LittleEndian.Uint32(c.Checksum) != md5.Size {
		return errors.New("the proof is bound to no channel")
	}
	sum := bindingSum(binding)
	if subtle.ConstantTimeCompare(c.Checksum[4:20], sum[:]) != 1 {
		return errors.New("the proof was made for another connection: someone relays it")
	}
	return nil
}

// replyPart is EncAPRepPart of RFC 4120, 5.5.2.
type replyPart struct {
	CTime time.Time `asn1:"generalized,explicit,tag:0"`
	Cusec int       `asn1:"explicit,tag:1"`
}

// reply makes the AP-REP, by which the server shows that it could read the
// authenticator.
func reply(a types.Authenticator, key types.EncryptionKey) ([]byte, error) {
	part, err := asn1.Marshal(replyPart{a.CTime.UTC(), a.Cusec})
	if err != nil {
		return nil, err
	}
	part = asn1tools.AddASNAppTag(part, asnAppTag.EncAPRepPart)
	enc, err := crypto.GetEncryptedData(part, key, keyusage.AP_REP_ENCPART, 0)
	if err != nil {
		return nil, err
	}
	b, err := asn1.Marshal(messages.APRep{PVNO: iana.PVNO, MsgType: msgtype.KRB_AP_REP, EncPart: enc})
	if err != nil {
		return nil, err
	}
	return wrap(idReply, asn1tools.AddASNAppTag(b, asnAppTag.APREP))
}

// checkReply refuses a server that could not read the authenticator.
func checkReply(token []byte, a types.Authenticator, key types.EncryptionKey) error {
	err := safely(func() error {
		b, err := unwrap(idReply, token)
		if err != nil {
			return err
		}
		var rep messages.APRep
		if err := rep.Unmarshal(b); err != nil {
			return err
		}
		if rep.EncPart.EType != key.KeyType {
			return errors.New("another type of encryption")
		}
		if b, err = crypto.DecryptEncPart(rep.EncPart, key, keyusage.AP_REP_ENCPART); err != nil {
			return err
		}
		var part messages.EncAPRepPart
		if err := part.Unmarshal(b); err != nil {
			return err
		}
		if part.CTime.Unix() != a.CTime.Unix() || part.Cusec != a.Cusec {
			return errors.New("it is the answer to another proof")
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("the server has not shown that it is who it says: %w", err)
	}
	return nil
}
