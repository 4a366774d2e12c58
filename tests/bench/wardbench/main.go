// Command wardbench measures directories of different filesystems by the same
// work and prints one table: a local directory, a mount of wardfs that it
// starts itself, and peers given by name.
//
//	wardbench [-scale 1] [-rounds 3] [-only seq,meta] [NAME=DIR ...]
//
// Each workload visits every directory before the next begins, in every round,
// so that a drift of the machine's speed hits all alike; the table has the
// median of the rounds. All figures are rates: higher is better. Cold ones drop
// the kernel's caches first, which needs root.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
)

type target struct{ name, dir string }

func main() {
	if err := run(os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "wardbench:", err)
		os.Exit(1)
	}
}

func run(args []string, stdout, stderr io.Writer) (err error) {
	flags := flag.NewFlagSet("wardbench", flag.ContinueOnError)
	scale := flags.Float64("scale", 1, "multiply the `size` of every workload")
	rounds := flags.Int("rounds", 3, "measure so many `times` and take the median")
	only := flags.String("only", "", "run these `workloads`, with commas between them")
	temp := flags.String("dir", "", "the local `directory`, and where the data of wardfs lies; default the system's for temporary files")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *rounds < 1 || *scale <= 0 {
		return errors.New("rounds and scale are at least 1 and more than 0")
	}
	base, err := os.MkdirTemp(*temp, "wardbench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(base)) }()
	targets := []target{{"local", filepath.Join(base, "local")}, {"wardfs", filepath.Join(base, "mnt")}}
	for _, t := range targets {
		if err := os.Mkdir(t.dir, 0o755); err != nil {
			return err
		}
	}
	stop, err := startDev(filepath.Join(base, "data"), targets[1].dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	for _, a := range flags.Args() {
		name, dir, ok := strings.Cut(a, "=")
		if !ok {
			return fmt.Errorf("a peer is NAME=DIR, not %q", a)
		}
		targets = append(targets, target{name, dir})
	}
	work, err := choose(*only)
	if err != nil {
		return err
	}
	t := measure(work, targets, *rounds, *scale, stderr)
	return t.print(stdout, targets)
}

// choose answers the named workloads, all if none is named.
func choose(only string) ([]workload, error) {
	if only == "" {
		return workloads, nil
	}
	var chosen []workload
	for name := range strings.SplitSeq(only, ",") {
		i := slices.IndexFunc(workloads, func(w workload) bool { return w.name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no workload %q", name)
		}
		chosen = append(chosen, workloads[i])
	}
	return chosen, nil
}

// table has the rates of each figure by target, one a round.
type table struct {
	order  []string
	rates  map[string]map[string][]float64
	failed []string
}

func measure(work []workload, targets []target, rounds int, scale float64, progress io.Writer) *table {
	t := &table{rates: map[string]map[string][]float64{}}
	for round := range rounds {
		for _, w := range work {
			for _, to := range targets {
				fmt.Fprintf(progress, "round %d of %d: %s on %s\n", round+1, rounds, w.name, to.name)
				if err := t.one(w, to, scale); err != nil {
					t.failed = append(t.failed, fmt.Sprintf("%s on %s: %v", w.name, to.name, err))
				}
			}
		}
	}
	return t
}

// one runs a workload in an empty directory of its own.
func (t *table) one(w workload, to target, scale float64) error {
	dir, err := os.MkdirTemp(to.dir, "bench-")
	if err != nil {
		return err
	}
	b := &bench{dir: dir, scale: scale, rate: func(figure string, rate float64) {
		if t.rates[figure] == nil {
			t.rates[figure] = map[string][]float64{}
			t.order = append(t.order, figure)
		}
		t.rates[figure][to.name] = append(t.rates[figure][to.name], rate)
	}}
	return errors.Join(w.run(b), os.RemoveAll(dir))
}

// print writes the table; each column after the first bears its ratio to it.
func (t *table) print(out io.Writer, targets []target) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(w, "figure\t")
	for i, to := range targets {
		fmt.Fprintf(w, "%s\t", to.name)
		if i > 0 {
			fmt.Fprintf(w, "ratio\t")
		}
	}
	fmt.Fprintln(w)
	for _, figure := range t.order {
		fmt.Fprintf(w, "%s\t", figure)
		base := median(t.rates[figure][targets[0].name])
		for i, to := range targets {
			rate := median(t.rates[figure][to.name])
			fmt.Fprintf(w, "%.0f\t", rate)
			if i > 0 {
				fmt.Fprintf(w, "%.2f\t", rate/base)
			}
		}
		fmt.Fprintln(w)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if t.failed != nil {
		return errors.New(strings.Join(t.failed, "\n"))
	}
	return nil
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Sorted(slices.Values(v))
	return (v[len(v)/2] + v[(len(v)-1)/2]) / 2
}
