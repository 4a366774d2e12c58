package certs

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pavlo-v-chernykh/keystore-go/v4"
	"github.com/youmark/pkcs8"
	"software.sslmate.com/src/go-pkcs12"

	"github.com/wardfs/wardfs/posix"
)

func secret(s string) Secret { return func() ([]byte, error) { return []byte(s), nil } }

// opened is what PEM files of a pair hold.
func opened(t *testing.T, c Config) (key any, chain []*x509.Certificate) {
	t.Helper()
	pair, err := readPair(c.Cert, c.Key, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, der := range pair.Certificate {
		x, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		chain = append(chain, x)
	}
	return pair.PrivateKey, chain
}

// jks writes a keystore with the pairs under their aliases, each with a key
// password of its own, and the certificates to trust.
func jks(t *testing.T, path string, keys map[string]Config, trust ...*x509.Certificate) {
	t.Helper()
	ks := keystore.New()
	for alias, c := range keys {
		key, chain := opened(t, c)
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		e := keystore.PrivateKeyEntry{CreationTime: time.Now(), PrivateKey: der}
		for _, x := range chain {
			e.CertificateChain = append(e.CertificateChain, keystore.Certificate{Type: "X509", Content: x.Raw})
		}
		if err := ks.SetPrivateKeyEntry(alias, e, []byte("key-"+alias)); err != nil {
			t.Fatal(err)
		}
	}
	for _, x := range trust {
		err := ks.SetTrustedCertificateEntry("ca", keystore.TrustedCertificateEntry{CreationTime: time.Now(), Certificate: keystore.Certificate{Type: "X509", Content: x.Raw}})
		if err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	if err := ks.Store(&b, []byte("changeit")); err != nil {
		t.Fatal(err)
	}
	put(t, path, b.Bytes())
}

func p12(t *testing.T, path string, c Config) {
	t.Helper()
	key, chain := opened(t, c)
	b, err := pkcs12.Modern.Encode(key, chain[0], chain[1:], "changeit")
	if err != nil {
		t.Fatal(err)
	}
	put(t, path, b)
}

// A server whose material is a keystore and a client whose trust is a
// truststore are as good as with PEM files.
func TestKeystores(t *testing.T) {
	dir := t.TempDir()
	m, other := make1(t, dir, nil), make1(t, t.TempDir(), nil)
	cas, err := readCAs(m.a.CA())
	if err != nil {
		t.Fatal(err)
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	jks(t, at("one.jks"), map[string]Config{"mine": m.server})
	jks(t, at("two.jks"), map[string]Config{"mine": m.server, "other": other.server})
	p12(t, at("one.p12"), m.server)
	jks(t, at("trust.jks"), nil, cas...)
	trust, err := pkcs12.Modern.EncodeTrustStore(cas, "changeit")
	if err != nil {
		t.Fatal(err)
	}
	put(t, at("trust.p12"), trust)
	client := m.client
	client.CA, client.TruststorePassword = "", secret("changeit")
	for name, c := range map[string]Config{
		"jks":            {Keystore: at("one.jks"), KeyPassword: secret("key-mine")},
		"jks, any alias": {Keystore: at("one.jks"), KeyPassword: secret("key-mine"), Alias: "whatever"},
		"jks of two":     {Keystore: at("two.jks"), KeyPassword: secret("key-mine"), Alias: "MINE"},
		"pkcs12":         {Keystore: at("one.p12")},
	} {
		c.CA, c.Every, c.KeystorePassword = m.a.CA(), -1, secret("changeit")
		server := hello(t, load(t, c).Server())
		for _, trust := range []string{at("trust.jks"), at("trust.p12")} {
			client.Truststore = trust
			if err := probe(t, server, load(t, client).Client("")); err != nil {
				t.Errorf("%s, %s: %v", name, filepath.Base(trust), err)
			}
		}
	}
}

func TestWrongKeystores(t *testing.T) {
	dir := t.TempDir()
	m, other := make1(t, dir, nil), make1(t, t.TempDir(), nil)
	at := func(name string) string { return filepath.Join(dir, name) }
	jks(t, at("two.jks"), map[string]Config{"mine": m.server, "other": other.server})
	jks(t, at("none.jks"), nil)
	p12(t, at("one.p12"), m.server)
	put(t, at("text"), []byte("not a keystore"))
	put(t, at("cut.jks"), get(t, at("two.jks"))[:100])
	key := secret("key-mine")
	for name, c := range map[string]struct {
		c    Config
		want string
	}{
		"no alias":          {Config{Keystore: at("two.jks"), KeyPassword: key}, "no alias is named; there are: mine, other"},
		"wrong alias":       {Config{Keystore: at("two.jks"), KeyPassword: key, Alias: "third"}, `alias "third"; there are: mine, other`},
		"key password":      {Config{Keystore: at("two.jks"), KeyPassword: secret("no"), Alias: "mine"}, "wrong key password"},
		"store as key's":    {Config{Keystore: at("two.jks"), Alias: "mine"}, "wrong key password"},
		"empty":             {Config{Keystore: at("none.jks")}, "holds no key"},
		"text":              {Config{Keystore: at("text")}, "neither JKS nor PKCS#12"},
		"cut":               {Config{Keystore: at("cut.jks")}, "damaged"},
		"missing":           {Config{Keystore: at("nowhere")}, "is not there"},
		"two ways":          {Config{Keystore: at("one.p12"), Cert: m.server.Cert, Key: m.server.Key}, "from several"},
		"two trusts":        {Config{CA: m.a.CA(), Truststore: at("trust")}, "from both"},
		"nothing to trust":  {Config{Truststore: at("two.jks"), TruststorePassword: secret("changeit")}, "no certificate to trust"},
		"no password there": {Config{Keystore: at("one.p12"), KeyPassword: func() ([]byte, error) { return nil, os.ErrNotExist }}, "password"},
	} {
		c.c.KeystorePassword = secret("changeit")
		if _, err := Load(c.c); !errors.Is(err, posix.EINVAL) && !errors.Is(err, posix.ENOENT) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	for _, store := range []string{"two.jks", "one.p12"} {
		_, err := Load(Config{Keystore: at(store), KeystorePassword: secret("sesame")})
		if err == nil || !strings.Contains(err.Error(), "wrong password") || strings.Contains(err.Error(), "sesame") {
			t.Errorf("%s: %v", store, err)
		}
	}
}

// What keytool of a JDK writes, where there is one.
func TestKeytool(t *testing.T) {
	keytool, err := exec.LookPath("keytool")
	if err != nil {
		t.Log("no keytool here: stores of our own library only")
		return
	}
	dir := t.TempDir()
	for _, kind := range []string{"jks", "pkcs12"} {
		path := filepath.Join(dir, "store."+kind)
		for _, alias := range []string{"a", "b"} {
			out, err := exec.Command(keytool, "-genkeypair", "-keystore", path, "-storetype", kind, "-storepass", "changeit", "-keypass", "changeit",
				"-alias", alias, "-keyalg", "EC", "-dname", "CN=host-"+alias, "-validity", "30").CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		}
		for _, alias := range []string{"a", "b"} {
			s := load(t, Config{Keystore: path, KeystorePassword: secret("changeit"), Alias: alias})
			if got := s.Principal(); got != "host-"+alias {
				t.Errorf("%s: alias %s is %q", kind, alias, got)
			}
		}
		if _, err := Load(Config{Keystore: path, KeystorePassword: secret("changeit")}); err == nil || !strings.Contains(err.Error(), "there are: a, b") {
			t.Errorf("%s without an alias: %v", kind, err)
		}
	}
}

func TestPassphrase(t *testing.T) {
	m := make1(t, t.TempDir(), nil)
	key, _ := opened(t, m.server)
	der, err := pkcs8.MarshalPrivateKey(key, []byte("sesame"), nil)
	if err != nil {
		t.Fatal(err)
	}
	put(t, m.server.Key, pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: der}))
	for word, want := range map[string]string{"sesame": "", "wrong": "wrong passphrase", "": "wrong passphrase"} {
		c := m.server
		c.KeyPassword = secret(word)
		if _, err := Load(c); want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("passphrase %q: %v", word, err)
		}
	}
	if _, err := Load(m.server); err == nil || !strings.Contains(err.Error(), "none is named") {
		t.Errorf("no passphrase: %v", err)
	}
}

// Maelstrom's rotation with three keys: a becomes c, b becomes a, and there is
// a new b. One node after the other is changed, and none is ever refused or
// restarted.
func TestKeyDirectory(t *testing.T) {
	nodes := []string{t.TempDir(), t.TempDir()}
	fresh := func(name string) {
		cert, key := selfSigned(t, name)
		for _, d := range nodes {
			put(t, filepath.Join(d, name+".key"), key)
			put(t, filepath.Join(d, name+".crt"), cert)
		}
	}
	for _, name := range []string{"a", "b", "c"} {
		fresh(name)
	}
	stores := make([]*Store, len(nodes))
	servers := make([]string, len(nodes))
	for i, d := range nodes {
		stores[i] = load(t, Config{Dir: d, Every: -1, ServerName: "maelstrom.example.com"})
		servers[i] = hello(t, stores[i].Server())
	}
	good := func(step string) {
		t.Helper()
		for i := range nodes {
			if err := probe(t, servers[i], stores[1-i].Client("")); err != nil {
				t.Errorf("%s, to node %d: %v", step, i, err)
			}
		}
	}
	good("before")
	for i, d := range nodes {
		for _, mv := range [][2]string{{"a", "c"}, {"b", "a"}} {
			for _, ext := range []string{".key", ".crt"} {
				if err := os.Rename(filepath.Join(d, mv[0]+ext), filepath.Join(d, mv[1]+ext)); err != nil {
					t.Fatal(err)
				}
				good("in between: " + mv[0] + ext)
			}
		}
		if got := stores[i].Principal(); got != "b" {
			t.Errorf("node %d shows %q, want what was made as b", i, got)
		}
	}
	fresh("b")
	good("after")

	put(t, filepath.Join(nodes[0], "0.key"), []byte("half"))
	good("half a pair is copied")
	put(t, filepath.Join(nodes[0], "0.crt"), []byte("half"))
	good("two halves are copied")
	cert, key := selfSigned(t, "0")
	put(t, filepath.Join(nodes[0], "0.key"), key)
	put(t, filepath.Join(nodes[0], "0.crt"), cert)
	if err := probe(t, servers[0], stores[1].Client("")); !errors.Is(err, posix.EACCES) {
		t.Errorf("a key that only one side has: %v", err)
	}
	if _, err := Load(Config{Dir: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "no pair") {
		t.Errorf("an empty directory: %v", err)
	}
}

// selfSigned is a pair as Maelstrom's tools make it.
func selfSigned(t *testing.T, cn string) (cert, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := (&Authority{now: time.Now}).template(cn, time.Hour)
	tmpl.SerialNumber, tmpl.DNSNames, tmpl.KeyUsage = big.NewInt(1), []string{"maelstrom.example.com"}, 0
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	p8, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: p8})
}

func TestPins(t *testing.T) {
	m := make1(t, t.TempDir(), nil)
	_, chain := opened(t, m.server)
	cas, err := readCAs(m.a.CA())
	if err != nil {
		t.Fatal(err)
	}
	leaf256, leaf1, ca256 := sha256.Sum256(chain[0].Raw), sha1.Sum(chain[0].Raw), sha256.Sum256(cas[0].Raw)
	server := hello(t, load(t, m.server).Server())
	for name, c := range map[string]struct {
		pin  string
		good bool
	}{
		"leaf": {hex.EncodeToString(leaf256[:]), true}, "leaf, SHA-1": {hex.EncodeToString(leaf1[:]), true},
		"authority": {strings.ToUpper(hex.EncodeToString(ca256[:])), true}, "another": {strings.Repeat("ab:", 31) + "ab", false},
	} {
		pin, err := ParsePin(c.pin)
		if err != nil {
			t.Fatal(err)
		}
		client := m.client
		client.Pins = []Pin{pin}
		if err := probe(t, server, load(t, client).Client("")); (err == nil) != c.good || !c.good && !strings.Contains(err.Error(), "fingerprints") {
			t.Errorf("%s: %v", name, err)
		}
	}
	other := make1(t, t.TempDir(), nil)
	_, chain = opened(t, other.server)
	sum := sha256.Sum256(chain[0].Raw)
	client := m.client
	client.Pins = []Pin{sum[:]}
	if err := probe(t, hello(t, load(t, other.server).Server()), load(t, client).Client("")); !errors.Is(err, posix.EACCES) {
		t.Errorf("pinned, and of an authority that is not trusted: %v", err)
	}
	for _, bad := range []string{"", "abc", strings.Repeat("ab", 16), strings.Repeat("zz", 32)} {
		if _, err := ParsePin(bad); err == nil {
			t.Errorf("pin %q", bad)
		}
	}
}

func TestVersionsAndSuites(t *testing.T) {
	for in, want := range map[string]uint16{"TLSv1.2": tls.VersionTLS12, "tlsv1.3": tls.VersionTLS13, "TLSv1.1": 0, "SSLv3": 0, "": 0} {
		if got, err := ParseVersion(in); got != want || (err == nil) != (want != 0) {
			t.Errorf("%q: %x %v", in, got, err)
		}
	}
	ids, err := ParseSuites([]string{"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"})
	if err != nil || !slices.Equal(ids, []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}) {
		t.Error(ids, err)
	}
	for name, want := range map[string]string{
		"TLS_RSA_WITH_AES_128_CBC_SHA":        "weak",
		"TLS_DHE_RSA_WITH_AES_128_GCM_SHA256": "no DHE; TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
		"AES128-SHA":                          "IANA",
	} {
		if _, err := ParseSuites([]string{name}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	m := make1(t, t.TempDir(), nil)
	old, suite := m.server, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
	old.MinVersion, old.MaxVersion, old.Suites = tls.VersionTLS12, tls.VersionTLS12, []uint16{suite}
	server := hello(t, load(t, old).Server())
	if err := probe(t, server, load(t, m.client).Client("")); err == nil {
		t.Error("TLS 1.2 was spoken with a client that wants 1.3")
	}
	client := m.client
	client.MinVersion = tls.VersionTLS12
	conf := load(t, client).Client("")
	var got uint16
	conf.VerifyConnection = func(s tls.ConnectionState) error { got = s.CipherSuite; return nil }
	if err := probe(t, server, conf); err != nil || got != suite {
		t.Errorf("suite %x, %v", got, err)
	}
	old.MinVersion = tls.VersionTLS13
	if _, err := Load(old); err == nil {
		t.Error("at least 1.3 and at most 1.2")
	}
}

func FuzzKeystore(f *testing.F) {
	f.Add([]byte{0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2, 0, 0, 0, 1})
	f.Add([]byte{0x30, 0x82, 1, 0, 2, 1, 3})
	f.Fuzz(func(_ *testing.T, b []byte) {
		keysOf(b, "a", []byte("changeit"), nil)
	})
}
