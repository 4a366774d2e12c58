package config

import "time"

// TLS is what the listener of mounts shows, whom it trusts, and how it speaks.
type TLS struct {
	Cert               string   `key:"cert" doc:"PEM file with the server's certificate, those of intermediate authorities after it. Read again when it changes."`
	Key                string   `key:"key" doc:"PEM file with its key, readable by the server alone."`
	CA                 string   `key:"ca" doc:"PEM file with the authorities whose certificates clients may show. Read again when it changes."`
	KeyPassword        string   `key:"key_password_file" doc:"File with the passphrase of tls.key, or of the key in tls.keystore if that is not the keystore's; env:NAME is a variable of the environment."`
	Keystore           string   `key:"keystore" doc:"JKS or PKCS#12 file with certificate and key, instead of tls.cert and tls.key."`
	KeystorePassword   string   `key:"keystore_password_file" doc:"File with its password, or env:NAME."`
	Alias              string   `key:"alias" doc:"Which key of the keystore. Needed where it has several."`
	Dir                string   `key:"dir" doc:"Directory of pairs NAME.key and NAME.crt, instead: the first name is shown, all certificates are trusted."`
	Truststore         string   `key:"truststore" doc:"JKS or PKCS#12 file with the authorities, instead of tls.ca."`
	TruststorePassword string   `key:"truststore_password_file" doc:"File with its password, or env:NAME."`
	MinVersion         string   `key:"min_version" default:"TLSv1.3" choice:"TLSv1.2 TLSv1.3" doc:"The least version of TLS that is spoken."`
	MaxVersion         string   `key:"max_version" default:"TLSv1.3" choice:"TLSv1.2 TLSv1.3" doc:"The highest."`
	Ciphers            []string `key:"ciphers" doc:"Cipher suites of TLS 1.2 by their IANA names. Empty: Go's choice. Those of TLS 1.3 can't be chosen."`
	Pins               []string `key:"pins" doc:"Fingerprints, SHA-256 or SHA-1, of which a client's certificate or its authority must have one."`

	ClientAuth    string        `key:"client_auth" default:"request" choice:"require request none" doc:"Whether a client must show a certificate (require), may show one (request), or is not asked. One that is shown must be good."`
	HandshakeTime time.Duration `key:"handshake_timeout" default:"20s" doc:"How long a TLS handshake may take, on every listener."`
}

// Material is what another listener shows, and whom it trusts, where that is
// not as for mounts. How it speaks is.
type Material struct {
	Cert               string   `key:"cert" doc:"As tls.cert, for this listener alone. With neither this, keystore nor dir, it shows what tls says."`
	Key                string   `key:"key" doc:"Its key."`
	CA                 string   `key:"ca" doc:"As tls.ca, for this listener alone. With neither this, truststore nor dir, it trusts whom tls says."`
	KeyPassword        string   `key:"key_password_file" doc:"As tls.key_password_file."`
	Keystore           string   `key:"keystore" doc:"As tls.keystore."`
	KeystorePassword   string   `key:"keystore_password_file" doc:"As tls.keystore_password_file."`
	Alias              string   `key:"alias" doc:"As tls.alias."`
	Dir                string   `key:"dir" doc:"As tls.dir."`
	Truststore         string   `key:"truststore" doc:"As tls.truststore."`
	TruststorePassword string   `key:"truststore_password_file" doc:"As tls.truststore_password_file."`
	Pins               []string `key:"pins" doc:"As tls.pins. Empty: none, whatever tls.pins says, if this listener trusts others."`
}

// shows reports whether there is a certificate in it, and trusts whether it
// says whom to trust.
func (m Material) shows() bool  { return m.Cert != "" || m.Key != "" || m.Keystore != "" || m.Dir != "" }
func (m Material) trusts() bool { return m.CA != "" || m.Truststore != "" || m.Dir != "" }

// own is the material of mounts.
func (t TLS) own() Material {
	return Material{t.Cert, t.Key, t.CA, t.KeyPassword, t.Keystore, t.KeystorePassword, t.Alias, t.Dir, t.Truststore, t.TruststorePassword, t.Pins}
}

// Other is t with what m says instead: its certificate, or whom to trust, or
// both. A directory is both.
func (t TLS) Other(m Material) TLS {
	if m.Dir != "" || m.shows() && t.Dir != "" {
		t.Dir, t.CA, t.Truststore, t.TruststorePassword, t.Pins = m.Dir, m.CA, m.Truststore, m.TruststorePassword, m.Pins
	}
	if m.shows() {
		t.Cert, t.Key, t.KeyPassword, t.Keystore, t.KeystorePassword, t.Alias = m.Cert, m.Key, m.KeyPassword, m.Keystore, m.KeystorePassword, m.Alias
	}
	if m.trusts() {
		t.CA, t.Truststore, t.TruststorePassword, t.Pins = m.CA, m.Truststore, m.TruststorePassword, m.Pins
	}
	return t
}

// Apart reports whether m says anything.
func (m Material) Apart() bool { return m.shows() || m.trusts() }

// checkMaterial finds ways to a certificate that exclude each other.
func (c *Config) checkMaterial(prefix string, m Material) error {
	ways := 0
	for _, set := range []bool{m.Cert != "" || m.Key != "", m.Keystore != "", m.Dir != ""} {
		if set {
			ways++
		}
	}
	const name = "name the files of the server's certificate and key, a keystore or a directory; `wardfs cert` makes certificates"
	switch {
	case ways == 0 && prefix == "tls.":
		return c.wrong("tls.cert", name, "tls.cert is not set, and a server always speaks TLS")
	case ways > 1:
		return c.wrong(prefix+"cert", "leave the others out", "%[1]scert with %[1]skey, %[1]skeystore and %[1]sdir exclude each other", prefix)
	case (m.Cert == "") != (m.Key == ""):
		key := prefix + "cert"
		if m.Cert != "" {
			key = prefix + "key"
		}
		return c.wrong(key, name, "%s is not set, and a server always speaks TLS", key)
	case m.CA != "" && m.Truststore != "":
		return c.wrong(prefix+"truststore", "leave one of them out", "%[1]sca and %[1]struststore exclude each other", prefix)
	}
	return nil
}
