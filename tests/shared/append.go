package shared

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/wardfs/wardfs/tests/harness"
)

// The ways in which a process appends.
var appendWays = []string{"held", "reopened", "synced", "fsynced"}

// appends: processes on both mounts append to one file, some with the file open
// throughout and some by opening it for each record. No record is lost, torn or
// written over, and those of one process are in its order.
func appends(t *testing.T, dirs [2]string) {
	records := harness.Size(80, 2000)
	name := filepath.Join(dirs[0], "log")
	ok(t, os.WriteFile(name, nil, 0o644))
	var args [][]string
	for k := range 2 * len(appendWays) {
		args = append(args, []string{filepath.Join(dirs[k%2], "log"), strconv.Itoa(k), strconv.Itoa(records), appendWays[k/2]})
	}
	all(t, "shared-append", args)
	for _, dir := range dirs {
		if err := whole(filepath.Join(dir, "log"), len(args), records); err != nil {
			t.Error(err)
		}
	}
}

// record is what process p writes as its i-th; some are longer than a page,
// and some than what lies in a small block.
func record(p, i int) string {
	n := 1 + i*37%300
	if i%10 == 9 {
		n = 1 + i*7919%300_000
	}
	return fmt.Sprintf("%d %d %s\n", p, i, strings.Repeat(string(rune('a'+p)), n))
}

func appendChild(args []string) error {
	name, way := args[0], args[3]
	p, _ := strconv.Atoi(args[1])
	records, _ := strconv.Atoi(args[2])
	flags := os.O_WRONLY | os.O_APPEND
	if way == "synced" {
		flags |= os.O_SYNC
	}
	f, err := os.OpenFile(name, flags, 0)
	if err != nil {
		return err
	}
	for i := range records {
		if way == "reopened" {
			if err := f.Close(); err != nil {
				return err
			}
			if f, err = os.OpenFile(name, flags, 0); err != nil {
				return err
			}
		}
		if _, err := f.WriteString(record(p, i)); err != nil {
			return err
		}
		if way == "fsynced" && i%3 == 0 {
			if err := f.Sync(); err != nil {
				return err
			}
		}
	}
	return f.Close()
}

// whole answers what is wrong with a file to which procs processes each have
// appended records.
func whole(name string, procs, records int) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	next := make([]int, procs)
	in := bufio.NewReader(f)
	for at := 0; ; {
		line, err := in.ReadString('\n')
		if err == io.EOF && line == "" {
			break
		}
		p, i := 0, 0
		if n, _ := fmt.Sscanf(line, "%d %d ", &p, &i); n != 2 || p < 0 || p >= procs {
			return fmt.Errorf("%s at %d: not a record: %.60q", name, at, line)
		}
		if i != next[p] {
			return fmt.Errorf("%s at %d: record %d of process %d, want %d", name, at, i, p, next[p])
		}
		if line != record(p, i) {
			return fmt.Errorf("%s at %d: record %d of process %d is torn", name, at, i, p)
		}
		next[p]++
		at += len(line)
	}
	if k := slices.IndexFunc(next, func(n int) bool { return n != records }); k >= 0 {
		return fmt.Errorf("%s: records of each process: %v, want %d", name, next, records)
	}
	return nil
}
