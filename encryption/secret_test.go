package encryption

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestSecret(t *testing.T) {
	given := bytes.Repeat([]byte{0x5a}, 32)
	s, err := NewSecret(given)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(given, make([]byte, 32)) {
		t.Error("what was taken in was not zeroed")
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("key", "key", s)
	j, _ := json.Marshal(map[string]any{"key": s})
	for _, out := range []string{log.String(), string(j), fmt.Sprint(s), fmt.Sprintf("%+v %#v %x %s %d %q", s, s, s, s, s, s)} {
		if strings.Contains(out, "5a5a") || strings.Contains(out, "ZZ") || strings.Contains(out, "90 90") || !strings.Contains(out, "(secret)") {
			t.Errorf("printed as %q", out)
		}
	}
	if err := s.Use(func(key []byte) error {
		if key[0] != 0x5a || len(key) != 32 {
			t.Errorf("the key is %d bytes and begins with %x", len(key), key[0])
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	s.Wipe()
	s.Wipe()
	if s.Use(func([]byte) error { return nil }) == nil {
		t.Error("a wiped key was used")
	}
	(*Secret)(nil).Wipe()
	for _, n := range []int{0, 16, 31, 33} {
		if _, err := NewSecret(make([]byte, n)); err == nil {
			t.Errorf("a key of %d bytes", n)
		}
	}
}

func TestDecodeSecret(t *testing.T) {
	text := []byte(base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32)))
	s, err := DecodeSecret(text)
	if err != nil {
		t.Fatal(err)
	}
	s.Wipe()
	if !bytes.Equal(text, make([]byte, len(text))) {
		t.Error("the text was not zeroed")
	}
	for _, bad := range []string{"", "====", "not base64 at all", base64.StdEncoding.EncodeToString(make([]byte, 16))} {
		if _, err := DecodeSecret([]byte(bad)); err == nil || bad != "" && strings.Contains(err.Error(), bad) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestWrapped(t *testing.T) {
	for w, ok := range map[Wrapped]bool{
		"vault:v1:abc=": true, "": false, "a b": false, "a\n": false, "ü": false,
		Wrapped(strings.Repeat("x", WrappedMax)): true, Wrapped(strings.Repeat("x", WrappedMax+1)): false,
	} {
		if (w.Check() == nil) != ok {
			t.Errorf("%.20q: %v", w, w.Check())
		}
	}
}
