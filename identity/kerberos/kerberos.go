// Package kerberos is the mechanism KERBEROS (RFC 4120): the client shows a
// ticket for the server, and the server shows that it could read it. The proof
// is the GSS-API token of RFC 4121 with an AP-REQ, its checksum bound to the
// TLS channel (RFC 5056, tls-exporter of RFC 9266), the reply one with an
// AP-REP: neither can be relayed, and a copy of one is refused.
//
// It speaks AES only: aes128 and aes256 with SHA-1 (RFC 3962) and SHA-2 (RFC
// 8009). It refuses DES and RC4, whatever a keytab or a KDC offers, delegates
// no tickets, and reads ticket caches of type FILE and DIR.
package kerberos

import (
	"fmt"
	"slices"

	"github.com/jcmturner/gokrb5/v8/iana/etypeID"
	"github.com/jcmturner/gokrb5/v8/types"
)

// Service is the primary of the server's principal: wardfs/host@REALM.
const Service = "wardfs"

// etypes are the kinds of encryption that are spoken.
var etypes = []int32{
	etypeID.AES128_CTS_HMAC_SHA1_96, etypeID.AES256_CTS_HMAC_SHA1_96,
	etypeID.AES128_CTS_HMAC_SHA256_128, etypeID.AES256_CTS_HMAC_SHA384_192,
}

// strong refuses what is encrypted in another way.
func strong(what string, etype int32) error {
	if slices.Contains(etypes, etype) {
		return nil
	}
	return fmt.Errorf("the %s is encrypted by type %d, and only AES (17 to 20) is taken: give the principal AES keys", what, etype)
}

func nameOf(n types.PrincipalName, realm string) Name { return Name{n.NameString, realm} }

// safely runs f, a parser of others, on bytes of others: that it panics on
// them is an error like any other.
func safely(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("malformed: %v", p)
		}
	}()
	return f()
}
