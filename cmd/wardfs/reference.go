package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wardfs/wardfs/cmd/wardfs/mountopt"
)

//go:generate go run . cli-reference ../../docs/cli.md

const cliPreface = `# The command line

<!-- Made by ` + "`go generate ./cmd/wardfs`" + ` from the commands themselves. -->

Messages go to standard error, one line for what is wrong and one, ` + "`wardfs: hint: …`" + `, for what to do. What a
program may want to read goes to standard output, as JSON with ` + "`--json`" + `.

`

const cliFiles = `
## Files and sockets

| path | what it is |
| --- | --- |
| ` + "`/run/wardfs/`, `$XDG_RUNTIME_DIR/wardfs/`" + ` | one unix socket for each server and mount of root, or of a user; only its user may enter. ` + "`status`, `whoami` and `umount`" + ` speak through them. The last words of a mount daemon lie there too |
| DIR` + "`/lock`" + ` | held by the server that uses the data folder; the kernel gives it back when that ends |
| DIR` + "`/tls/`" + ` | of ` + "`wardfs dev`" + `: authority, certificates, keys. Leaves are renewed 30 days before their end |
| DIR` + "`/endpoint.json`" + ` | of ` + "`wardfs dev`" + `: where it listens, for ` + "`wardfs mount dev:DIR`" + ` |

## Metrics

A server exports Prometheus metrics and pprof on ` + "`metrics.listen`" + `, over TLS, to who shows a certificate of ` + "`tls.ca`" + `:

` + "```" + `
curl --cacert DIR/tls/ca.pem --cert DIR/tls/client.pem --key DIR/tls/client.key https://127.0.0.1:7490/metrics
` + "```" + `

A mount opens no port; ` + "`wardfs status MNT --metrics`" + ` prints its metrics.
`

// newCLIReference writes docs/cli.md; it is for this repository alone.
func newCLIReference() *cobra.Command {
	return &cobra.Command{
		Use: "cli-reference FILE", Hidden: true, Args: takes(1, 1, "FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			return os.WriteFile(args[0], []byte(cliReference(c.Root())), 0o644)
		},
	}
}

// cliReference is the documentation of all verbs, in Markdown.
func cliReference(root *cobra.Command) string {
	var b strings.Builder
	b.WriteString(cliPreface)
	for _, c := range root.Commands() {
		if c.IsAvailableCommand() && c.Name() != "help" {
			describe(&b, c)
		}
	}
	b.WriteString("## Mount options\n\n| option | what it does |\n| --- | --- |\n")
	for _, o := range mountopt.Table() {
		name := o.Name
		if o.Value != "" {
			name += "=" + strings.ReplaceAll(o.Value, "|", `\|`)
		}
		fmt.Fprintf(&b, "| `%s` | %s |\n", name, o.Doc)
	}
	b.WriteString("\nTaken for the sake of fstab, without effect here: `x-*`")
	for _, n := range mountopt.Ignored() {
		b.WriteString(", `" + n + "`")
	}
	b.WriteString(".\n\nThrough mount(8), with the links that `make install` puts in /sbin:\n\n```\n")
	b.WriteString("mount -t wardfs files.example.com:/ /mnt/ward -o ca=/etc/wardfs/ca.pem,user=alice\n")
	b.WriteString("mount -t fuse.wardfs …          the same\n")
	b.WriteString("mount -t fuse wardfs#… …        the same, with wardfs in PATH\n")
	b.WriteString("files.example.com:/  /mnt/ward  wardfs  ca=/etc/wardfs/ca.pem,_netdev,nofail  0  0\n```\n")
	b.WriteString(cliFiles)
	b.WriteString("\n## Exit codes\n\n| code | meaning |\n| --- | --- |\n")
	for _, x := range exitCodes {
		fmt.Fprintf(&b, "| %d | %s |\n", x.code, x.text)
	}
	b.WriteString("\nAs mount.wardfs it ends with mount(8)'s codes: 0, 1 for a wrong command line or configuration, 32 for a mount that failed.\n")
	return b.String()
}

// describe writes a verb and those below it.
func describe(b *strings.Builder, c *cobra.Command) {
	if c.HasAvailableSubCommands() {
		if c.Long != "" {
			fmt.Fprintf(b, "## %s\n\n%s\n\n", c.CommandPath(), c.Long)
			if flags := c.PersistentFlags().FlagUsages(); flags != "" {
				b.WriteString("```\n" + flags + "```\n\n")
			}
		}
		for _, sub := range c.Commands() {
			describe(b, sub)
		}
		return
	}
	fmt.Fprintf(b, "## %s\n\n```\n%s\n```\n\n", c.CommandPath(), strings.TrimSuffix(c.UseLine(), " [flags]"))
	text := c.Long
	if text == "" || c.Name() == "mount" { // mount's lists its options, which stand below
		text = strings.ToUpper(c.Short[:1]) + c.Short[1:] + "."
	}
	if c.Name() == "completion" {
		text, _, _ = strings.Cut(text, "\n\n")
	}
	b.WriteString(text + "\n\n")
	if flags := c.LocalFlags().FlagUsages(); flags != "" {
		b.WriteString("```\n" + flags + "```\n\n")
	}
}
