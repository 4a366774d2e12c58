package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// newExitCodes is a topic of help, not a verb.
func newExitCodes() *cobra.Command {
	var b strings.Builder
	b.WriteString("wardfs ends with one of these codes. Their meaning does not change between versions.\n\n")
	for _, x := range exitCodes {
		fmt.Fprintf(&b, "  %2d  %s\n", x.code, x.text)
	}
	b.WriteString("\nCalled as mount.wardfs by mount(8) it ends with mount(8)'s codes: 0, 1 for a wrong command\nline or configuration, 32 for a mount that failed.\n")
	return &cobra.Command{Use: "exit-codes", Short: "the exit codes, for scripts", Long: b.String()}
}
