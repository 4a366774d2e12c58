package main

import (
	"encoding/json"
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/wardfs/wardfs/identity/nss"
	"github.com/wardfs/wardfs/proto"
)

func newVersion(e *env) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "version", Short: "say which version this is", Args: takes(0, 0, ""),
		RunE: func(*cobra.Command, []string) error {
			if asJSON {
				return printJSON(e, map[string]any{
					"version": version, "protocol": proto.Version, "go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH, "names": namesFrom(),
				})
			}
			fmt.Fprintf(e.stdout, "wardfs %s, protocol %d, %s %s/%s, users from %s\n", version, proto.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH, namesFrom())
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return c
}

// namesFrom says where this binary looks users and groups up.
func namesFrom() string {
	if nss.Full() {
		return "nsswitch"
	}
	return "/etc/passwd"
}

// printJSON prints v for programs.
func printJSON(e *env, v any) error {
	enc := json.NewEncoder(e.stdout)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
