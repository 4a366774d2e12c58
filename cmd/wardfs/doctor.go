package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
)

// finding is what doctor says of one thing.
type finding struct {
	Check string `json:"check"`
	State string `json:"state"` // "ok", "warn" or "fail"
	Text  string `json:"text"`
	Next  string `json:"next,omitempty"` // the next step
}

func ok(check, format string, args ...any) finding {
	return finding{Check: check, State: "ok", Text: fmt.Sprintf(format, args...)}
}

func warn(check, next, format string, args ...any) finding {
	return finding{check, "warn", fmt.Sprintf(format, args...), next}
}

func bad(check, next, format string, args ...any) finding {
	return finding{check, "fail", fmt.Sprintf(format, args...), next}
}

type doctorFlags struct {
	options []string
	config  string
	asJSON  bool
}

func newDoctor(e *env) *cobra.Command {
	var f doctorFlags
	c := &cobra.Command{
		Use: "doctor [SERVER]", Short: "look for what could keep wardfs from working here",
		Long: `doctor checks this machine: FUSE and its helper, the kernel, limits, ports, the clock, what a killed
daemon left behind. Given a SERVER, as for mount, it also checks the way there and both sides'
certificates; given --config FILE, a server's configuration, ports and folders. Each line is ok, warn or
fail; what is not ok says what to do. It ends with 1 if something fails.`,
		Args: takes(0, 1, "SERVER"),
		RunE: func(c *cobra.Command, args []string) error { return runDoctor(c.Context(), e, f, args) },
	}
	c.Flags().StringArrayVarP(&f.options, "options", "o", nil, "mount options: `OPT,...`, as for mount; ca=, cert=, key= and server_name= count")
	c.Flags().StringVar(&f.config, "config", "", "check this configuration `FILE` of a server too")
	c.Flags().BoolVar(&f.asJSON, "json", false, "as JSON")
	return c
}

func runDoctor(ctx context.Context, e *env, f doctorFlags, args []string) error {
	all := checkMachine()
	if f.config != "" {
		all = append(all, checkConfigFile(f.config)...)
	} else {
		all = append(all, checkUsualPorts()...)
	}
	if len(args) > 0 {
		m, err := newMounting(f.options, args[0], "/", newLogger(e.stderr, "error", "text"))
		if err != nil {
			return err
		}
		all = append(all, checkServers(ctx, m)...)
	}
	return report(e, all, f.asJSON)
}

// report prints the findings and fails if one does.
func report(e *env, all []finding, asJSON bool) error {
	failed := 0
	for _, x := range all {
		if x.State == "fail" {
			failed++
		}
	}
	if asJSON {
		if err := printJSON(e, all); err != nil {
			return err
		}
	}
	for _, x := range all {
		if asJSON {
			break
		}
		fmt.Fprintf(e.stdout, "%-4s  %-12s  %s\n", x.State, x.Check, oneLine(x.Text))
		if x.Next != "" {
			fmt.Fprintf(e.stdout, "%-4s  %-12s  -> %s\n", "", "", x.Next)
		}
	}
	if failed > 0 {
		return fail(exitFailure, "", "%d of %d checks failed", failed, len(all))
	}
	return nil
}
