package config

import (
	"fmt"
	"strings"
)

const preface = `# Configuration of a server

<!-- Made by ` + "`wardfs config reference`" + `; change cmd/wardfs/config/config.go and run ` + "`go generate ./cmd/wardfs/config`" + `. -->

` + "`wardfs serve --config FILE`" + ` reads one YAML file; ` + "`wardfs config check FILE`" + ` says what is wrong with one, with
the line. A dot in a key is a level in the file: ` + "`tls.cert`" + ` is ` + "`cert:`" + ` below ` + "`tls:`" + `. Unknown keys are errors.

Every key can also be given as ` + "`--set KEY=VALUE`" + ` to ` + "`serve`" + ` and ` + "`dev`" + `, and as the environment variable named
below. A flag counts more than the environment, the environment more than the file, the file more than the
default. A list stands in the file as ` + "`[a, b]`" + `, elsewhere as ` + "`a,b`" + `; a list of rules elsewhere as ` + "`[{KEY: VALUE, ...}, ...]`" + `.

A duration has its unit: ` + "`500ms`, `60s`, `5m`, `1h30m`" + `. A size too: ` + "`64MiB`, `2GB`" + `. A mode is octal.

`

// Reference is the documentation of all keys, in Markdown.
func Reference() string {
	var b strings.Builder
	b.WriteString(preface)
	b.WriteString("| key | type | default | what it is | variable |\n| --- | --- | --- | --- | --- |\n")
	for _, k := range Keys() {
		typ, def := k.described()
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | `%s` |\n", k.Name, typ, def, k.Doc, k.Env())
	}
	for _, k := range Keys() {
		if k.Rule == nil {
			continue
		}
		fmt.Fprintf(&b, "\nEach rule of `%s` has these keys; docs/exports.md tells what they are for:\n\n", k.Name)
		b.WriteString("| key | type | default | what it is |\n| --- | --- | --- | --- |\n")
		for _, r := range k.Rule {
			typ, def := r.described()
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", r.Name, typ, def, r.Doc)
		}
	}
	b.WriteString("\nThe defaults as a file, to begin with:\n\n```yaml\n")
	b.WriteString(Example())
	b.WriteString("```\n")
	return b.String()
}

// described is a key's type and default for the reference.
func (k Key) described() (typ, def string) {
	typ, def = k.Type, "none"
	if len(k.Choices) > 0 {
		typ = "`" + strings.Join(k.Choices, "`, `") + "`"
		if k.Type == "list" {
			typ = "list of " + typ
		}
	}
	if k.Default != "" {
		def = "`" + k.Default + "`"
	}
	return typ, def
}

const exampleHead = `# Every key with its default; "" and [] are none. Left to you: tls.cert, tls.key and tls.ca,
# without which a server does not start ("wardfs cert" makes them), and exports,
# without which nobody but the superuser may mount.
`

// Example is a file that says what the defaults say, and what it lacks.
func Example() string {
	var b strings.Builder
	b.WriteString(exampleHead)
	group := ""
	for _, k := range Keys() {
		name := k.Name
		if i := strings.IndexByte(name, '.'); i >= 0 {
			if name[:i] != group {
				group = name[:i]
				b.WriteString(group + ":\n")
			}
			name = "  " + name[i+1:]
		}
		v := k.Default
		switch {
		case k.Type == "list", k.Rule != nil:
			v = "[" + strings.ReplaceAll(v, ",", ", ") + "]"
		case v == "":
			v = `""`
		}
		fmt.Fprintf(&b, "%s: %s\n", name, v)
	}
	return b.String()
}
