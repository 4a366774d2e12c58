package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Key is a line of the table.
type Key struct {
	Name    string   // "tls.cert"
	Type    string   // as the reference says it: "text", "list", "size", "duration", …
	Default string   // as one would write it
	Choices []string // what a text, or each of a list, may be; none: anything
	Doc     string
	Rule    []Key // the keys of each rule, where the key is a list of rules; else none

	index []int // of the field
}

// Env is the key's environment variable.
func (k Key) Env() string {
	return "WARDFS_" + strings.ToUpper(strings.ReplaceAll(k.Name, ".", "_"))
}

// Keys is the table, in the order of the reference.
func Keys() []Key { return keysOf(reflect.TypeFor[Config](), "", nil) }

func keysOf(t reflect.Type, prefix string, at []int) (keys []Key) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, ok := f.Tag.Lookup("key")
		if !ok {
			continue
		}
		index := append(slices.Clone(at), i)
		if f.Type.Kind() == reflect.Struct {
			keys = append(keys, keysOf(f.Type, prefix+name+".", index)...)
			continue
		}
		k := Key{Name: prefix + name, Type: typeName(f.Type), Default: f.Tag.Get("default"),
			Choices: strings.Fields(f.Tag.Get("choice")), Doc: f.Tag.Get("doc"), index: index}
		if f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct {
			k.Type, k.Rule = "list of rules", keysOf(f.Type.Elem(), "", nil)
		}
		keys = append(keys, k)
	}
	return keys
}

// find answers the key of that name, or an error that names the nearest.
func find(name string) (Key, error) {
	var names []string
	for _, k := range Keys() {
		if k.Name == name {
			return k, nil
		}
		names = append(names, k.Name)
	}
	if name == "auth.trusted" { // of before there were rules
		return Key{}, &Error{Text: `unknown key "auth.trusted"`, Next: "it is a rule now: proxy: [{principal: NAME, states_callers: true}]"}
	}
	if isSecret(name) && !strings.HasSuffix(name, "_file") {
		return Key{}, &Error{Text: fmt.Sprintf("unknown key %q: a secret does not stand in the configuration", name),
			Next: "write it into a file (0600) and name that: " + DidYouMean(name+"_file", names, "`wardfs config reference` lists all keys")}
	}
	return Key{}, &Error{Text: fmt.Sprintf("unknown key %q", name), Next: DidYouMean(name, names, "`wardfs config reference` lists all keys")}
}

// isSecret reports whether a key's name is that of a secret.
func isSecret(name string) bool {
	for _, word := range []string{"password", "passphrase", "secret"} {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}

// field is the key's in c.
func (k Key) field(c *Config) reflect.Value { return reflect.ValueOf(c).Elem().FieldByIndex(k.index) }

// put parses text into f, a field of the key's type. The elements of a list
// stand between commas.
func (k Key) put(f reflect.Value, text string) error {
	if f.Kind() == reflect.Slice {
		var list []string
		for _, s := range strings.Split(text, ",") {
			if s = strings.TrimSpace(s); s != "" {
				list = append(list, s)
			}
		}
		return k.putList(f, list)
	}
	v, err := parse(f.Type(), text)
	if err != nil {
		return k.wrong(err)
	}
	if s, ok := v.(string); ok {
		if err := k.allows(s); err != nil {
			return err
		}
	}
	f.Set(reflect.ValueOf(v))
	return nil
}

func (k Key) putList(f reflect.Value, list []string) error {
	if f.Kind() != reflect.Slice {
		return k.wrong(fmt.Errorf("takes one value, not a list"))
	}
	for i, s := range list {
		if err := k.allows(s); err != nil {
			return err
		}
		if slices.Contains(list[:i], s) {
			return k.wrong(fmt.Errorf("%q stands twice in the list", s))
		}
	}
	f.Set(reflect.ValueOf(list))
	return nil
}

func (k Key) allows(s string) error {
	if len(k.Choices) == 0 || slices.Contains(k.Choices, s) {
		return nil
	}
	return &Error{Text: fmt.Sprintf("%s: unknown value %q", k.Name, s), Next: "write " + or(k.Choices)}
}

func (k Key) wrong(err error) error {
	e := &Error{Text: k.Name + ": " + err.Error()}
	if h, ok := err.(interface{ Hint() string }); ok {
		e.Next = h.Hint()
	}
	return e
}

// or is "a, b or c".
func or(words []string) string {
	n := len(words)
	if n < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:n-1], ", ") + " or " + words[n-1]
}

func typeName(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[time.Duration]():
		return "duration"
	case reflect.TypeFor[Mode]():
		return "mode"
	case reflect.TypeFor[Size]():
		return "size"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Uint32:
		return "number"
	case reflect.Slice:
		return "list"
	}
	return "text"
}
