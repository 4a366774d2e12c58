package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxFile bounds a configuration file, in bytes: a wrong path to something
// huge is an error and not a wait.
const maxFile = 1 << 20

// File reads a YAML file into c. All that is wrong comes back at once, joined.
func (c *Config) File(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return &Error{Text: "configuration " + path + " can't be read: " + cause(err), Next: "`wardfs config reference` shows what to write"}
	}
	defer f.Close()
	return c.Read(path, f)
}

func cause(err error) string {
	if p := (*os.PathError)(nil); errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}

// Read is File for what is open already; name is what to call it.
func (c *Config) Read(name string, r io.Reader) error {
	data, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return &Error{Where: name, Text: "can't be read: " + cause(err)}
	}
	if len(data) > maxFile {
		return &Error{Where: name, Text: "is larger than 1 MiB", Next: "is it the right file?"}
	}
	dec := yaml.NewDecoder(strings.NewReader(string(data)))
	var doc, more yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return nil // an empty file: the defaults
	} else if err != nil {
		return syntax(name, err)
	}
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		return &Error{Where: name, Text: "holds more than one document", Next: "remove the line ---"}
	}
	d := decoder{c: c, place: func(n *yaml.Node) string { return fmt.Sprintf("%s:%d", name, n.Line) }, seen: map[string]int{}}
	d.mapping("", doc.Content[0])
	return errors.Join(d.errs...)
}

// syntax puts the line that yaml names in front.
func syntax(name string, err error) error {
	text, line := strings.TrimPrefix(err.Error(), "yaml: "), 0
	if _, e := fmt.Sscanf(text, "line %d:", &line); e == nil {
		name = fmt.Sprintf("%s:%d", name, line)
		_, text, _ = strings.Cut(text, ": ")
	}
	return &Error{Where: name, Text: "no YAML: " + strings.ReplaceAll(text, "\n", "; ")}
}

// decoder walks one file.
type decoder struct {
	c     *Config
	place func(*yaml.Node) string // "file:line"
	seen  map[string]int          // key: its line
	errs  []error
}

func (d *decoder) wrong(n *yaml.Node, err error) {
	e := &Error{Text: err.Error()}
	errors.As(err, &e)
	e.Where = d.place(n)
	d.errs = append(d.errs, e)
}

// mapping reads the keys below prefix.
func (d *decoder) mapping(prefix string, n *yaml.Node) {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return // "tls:" with nothing below it
	}
	if n.Kind != yaml.MappingNode {
		d.wrong(n, &Error{Text: "expected KEY: VALUE lines" + under(prefix), Next: "`wardfs config reference` shows what to write"})
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		name := prefix + key.Value
		if line, twice := d.seen[name]; twice {
			d.wrong(key, &Error{Text: fmt.Sprintf("key %q stands twice, first in line %d", name, line), Next: "remove one"})
			continue
		}
		d.seen[name] = key.Line
		if isGroup(name) {
			d.mapping(name+".", value)
			continue
		}
		d.key(name, key, value)
	}
}

func (d *decoder) key(name string, key, value *yaml.Node) {
	k, err := find(name)
	if err != nil {
		d.wrong(key, err)
		return
	}
	if k.Rule != nil {
		d.rules(k, value)
	} else if !d.value(k, value, k.field(d.c)) {
		return
	}
	d.c.from[name] = d.place(key)
}

// value reads what is no list of rules into the field f of k.
func (d *decoder) value(k Key, value *yaml.Node, f reflect.Value) bool {
	var err error
	switch {
	case value.Kind == yaml.ScalarNode && value.Tag != "!!null":
		err = k.put(f, value.Value)
	case value.Kind == yaml.SequenceNode:
		var list []string
		for _, v := range value.Content {
			if v.Kind != yaml.ScalarNode || v.Tag == "!!null" {
				d.wrong(v, &Error{Text: k.Name + ": an element of the list is no plain value"})
				return false
			}
			list = append(list, v.Value)
		}
		err = k.putList(f, list)
	default:
		err = &Error{Text: k.Name + ": has no plain value", Next: fmt.Sprintf(`write %s: VALUE, or %s: "" for none`, k.Name, k.Name)}
	}
	if err != nil {
		d.wrong(value, err)
	}
	return err == nil
}

func isGroup(name string) bool {
	for _, k := range Keys() {
		if strings.HasPrefix(k.Name, name+".") {
			return true
		}
	}
	return false
}

func under(prefix string) string {
	if prefix == "" {
		return ""
	}
	return " below " + strings.TrimSuffix(prefix, ".")
}

// Env sets keys from the environment, as os.Environ gives it. A WARDFS_
// variable of no key is told to unknown, with a hint: it may be another
// program's.
func (c *Config) Env(environ []string, unknown func(name, hint string)) error {
	var names []string
	byEnv := map[string]Key{}
	for _, k := range Keys() {
		byEnv[k.Env()] = k
		names = append(names, k.Env())
	}
	var errs []error
	for _, v := range environ {
		name, value, _ := strings.Cut(v, "=")
		k, ok := byEnv[name]
		if ok {
			errs = append(errs, c.assign(k, name, value))
		} else if strings.HasPrefix(name, "WARDFS_") {
			unknown(name, DidYouMean(name, names, "no key has that variable"))
		}
	}
	return errors.Join(errs...)
}

// Set sets one key from "KEY=VALUE".
func (c *Config) Set(assignment string) error {
	name, value, ok := strings.Cut(assignment, "=")
	if !ok {
		return &Error{Where: "--set " + assignment, Text: "has no =", Next: "write --set KEY=VALUE"}
	}
	k, err := find(name)
	if err != nil {
		return placed("--set", err)
	}
	return c.assign(k, "--set "+name, value)
}

func (c *Config) assign(k Key, where, value string) error {
	if k.Rule != nil {
		if err := c.rulesText(k, where, value); err != nil {
			return placed(where, err)
		}
	} else if err := k.put(k.field(c), value); err != nil {
		return placed(where, err)
	}
	c.from[k.Name] = where
	return nil
}

func placed(where string, err error) error {
	e := &Error{Text: err.Error()}
	errors.As(err, &e)
	e.Where = where
	return e
}
