// Command engines measures the candidates for the embedded engine on the work
// of a namespace: 100,000 keys with values of 128 bytes are there; a
// transaction reads three and writes four, and is durable when it returns; 16
// workers, or one; and scans of a directory of 1,000. ADR 2 has its figures.
//
//	go run . -rounds 5 -time 2s -dir /on/the/disk
//
// The candidates take turns in every round, so that noise of the machine meets
// all alike; what is printed is the median of the rounds, and the lowest and
// highest. It is a module of its own: what it compares with is no dependency of
// wardfs.
package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/wardfs/wardfs/server/engine"
)

// task is one row of the table.
type task struct {
	name    string
	workers int
	op      func(engine.Engine, *rand.Rand) error
}

var tasks = []task{
	{"update, 16 workers", 16, update},
	{"update, 1 worker", 1, update},
	{"scan of 1,000, 1 worker", 1, scan},
}

func main() {
	rounds := flag.Int("rounds", 5, "how often each candidate takes its turn")
	each := flag.Duration("time", 2*time.Second, "how long each task runs")
	dir := flag.String("dir", os.TempDir(), "a directory on the disk to be measured")
	flag.Parse()
	if err := run(*rounds, *each, *dir); err != nil {
		fmt.Fprintln(os.Stderr, "engines:", err)
		os.Exit(1)
	}
}

func run(rounds int, each time.Duration, parent string) error {
	dir, err := os.MkdirTemp(parent, "engines-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	results := map[string][]result{} // by task and body
	for round := range rounds {
		for i := range bodies {
			b := bodies[(i+round)%len(bodies)]
			for _, t := range tasks {
				r, err := one(b, t, each, filepath.Join(dir, b.name))
				if err != nil {
					return fmt.Errorf("%s, %s: %w", b.name, t.name, err)
				}
				results[t.name+b.name] = append(results[t.name+b.name], r)
				fmt.Fprintf(os.Stderr, "round %d: %-24s %-8s %9.0f/s  p50 %9v  p99 %9v\n",
					round+1, t.name, b.name, r.rate, r.p50, r.p99)
			}
		}
	}
	print(results)
	return nil
}

// one makes a fresh store and runs one task on it.
func one(b body, t task, each time.Duration, dir string) (r result, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return r, err
	}
	defer os.RemoveAll(dir)
	e, err := b.open(dir, 1) // alone: nobody to wait for
	if err != nil {
		return r, err
	}
	if err := preload(e); err != nil {
		return r, err
	}
	if err := e.Close(); err != nil {
		return r, err
	}
	if e, err = b.open(dir, t.workers); err != nil {
		return r, err
	}
	defer e.Close()
	if _, err := measure(e, t.workers, each/4, t.op); err != nil { // warm
		return r, err
	}
	return measure(e, t.workers, each, t.op)
}

func print(results map[string][]result) {
	fmt.Println("| work | engine | per second | lowest, highest | p50 | p99 |")
	fmt.Println("| --- | --- | ---: | ---: | ---: | ---: |")
	for _, t := range tasks {
		for _, b := range bodies {
			rs := results[t.name+b.name]
			rate := func(r result) float64 { return r.rate }
			lo, hi := slices.MinFunc(rs, by(rate)), slices.MaxFunc(rs, by(rate))
			fmt.Printf("| %s | %s | %.0f | %.0f, %.0f | %s | %s |\n", t.name, b.name,
				median(rs, rate), lo.rate, hi.rate,
				millis(median(rs, func(r result) float64 { return r.p50.Seconds() })),
				millis(median(rs, func(r result) float64 { return r.p99.Seconds() })))
		}
	}
}

func by(f func(result) float64) func(a, b result) int {
	return func(a, b result) int {
		switch {
		case f(a) < f(b):
			return -1
		case f(a) > f(b):
			return 1
		}
		return 0
	}
}

func median(rs []result, f func(result) float64) float64 {
	return f(slices.SortedFunc(slices.Values(rs), by(f))[len(rs)/2])
}

func millis(seconds float64) string { return fmt.Sprintf("%.3f ms", seconds*1000) }
