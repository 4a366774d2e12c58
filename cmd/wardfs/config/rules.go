package config

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// A key may be a list of rules, each a few keys of its own:
//
//	exports:
//	  - path: /data
//	    who: [alice]
//
// In a flag or the environment it is the same in YAML's short form:
// [{path: /data, who: [alice]}].

// rulesText reads a list of rules from a flag or a variable, for which name
// stands in errors.
func (c *Config) rulesText(k Key, name, text string) error {
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		return k.wrong(hinted{strings.ReplaceAll(err.Error(), "\n", "; "), "write as [{KEY: VALUE, ...}, ...]"})
	}
	d := decoder{c: c, place: func(*yaml.Node) string { return name }}
	if len(doc.Content) > 0 {
		d.rules(k, doc.Content[0])
	} else {
		k.field(c).SetZero()
	}
	return errors.Join(d.errs...)
}

// rules reads the list that k is.
func (d *decoder) rules(k Key, list *yaml.Node) {
	f := k.field(d.c)
	maps.DeleteFunc(d.c.from, func(at, _ string) bool { return strings.HasPrefix(at, k.Name+"[") })
	if list.Kind == yaml.ScalarNode && list.Value == "" && list.Tag != "!!null" {
		f.SetZero() // as every other key is emptied
		return
	}
	if list.Kind != yaml.SequenceNode {
		d.wrong(list, &Error{Text: k.Name + ": is no list of rules", Next: fmt.Sprintf("write each as - %s: ...", k.Rule[0].Name)})
		return
	}
	all := reflect.MakeSlice(f.Type(), len(list.Content), len(list.Content))
	for i, n := range list.Content {
		d.rule(k, fmt.Sprintf("%s[%d].", k.Name, i), n, all.Index(i))
	}
	f.Set(all)
}

// rule reads one of k's rules into v. Where its keys stood is noted under
// their names after at, and where it begins under at alone.
func (d *decoder) rule(k Key, at string, n *yaml.Node, v reflect.Value) {
	d.c.from[at] = d.place(n)
	names := make([]string, len(k.Rule))
	for i, r := range k.Rule {
		names[i] = r.Name
		if err := r.put(v.FieldByIndex(r.index), r.Default); err != nil {
			panic("config: default of " + k.Name + "." + r.Name + ": " + err.Error())
		}
	}
	if n.Kind != yaml.MappingNode {
		d.wrong(n, &Error{Text: k.Name + ": a rule is KEY: VALUE lines", Next: fmt.Sprintf("write - %s: ...", names[0])})
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		j := slices.Index(names, key.Value)
		if line, twice := seen[key.Value]; twice {
			d.wrong(key, &Error{Text: fmt.Sprintf("%s: key %q stands twice in a rule, first in line %d", k.Name, key.Value, line), Next: "remove one"})
			continue
		}
		if seen[key.Value] = key.Line; j < 0 {
			d.wrong(key, &Error{Text: fmt.Sprintf("%s: unknown key %q of a rule", k.Name, key.Value), Next: DidYouMean(key.Value, names, "write "+or(names))})
			continue
		}
		r := k.Rule[j]
		r.Name = k.Name + "." + r.Name // in errors
		if d.value(r, value, v.FieldByIndex(r.index)) {
			d.c.from[at+key.Value] = d.place(key)
		}
	}
}
