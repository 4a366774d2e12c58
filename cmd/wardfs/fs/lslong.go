package fs

import (
	"bufio"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// table prints entries as ls -l does: columns as wide as they must be, numbers
// to the right and names to the left.
func (l *lister) table(all []entry) error {
	rows, widths := make([][]string, len(all)), [6]int{}
	for i, x := range all {
		rows[i] = l.columns(x)
		for k := range widths {
			widths[k] = max(widths[k], utf8.RuneCountInString(rows[i][k]))
		}
	}
	w := bufio.NewWriter(l.Stdout)
	for i, x := range all {
		if l.f.inode {
			fmt.Fprintf(w, "%d ", x.Ino)
		}
		r := rows[i]
		fmt.Fprintf(w, "%-*s %*s %-*s %-*s %*s %s %s\n", widths[0], r[0], widths[1], r[1], widths[2], r[2], widths[3], r[3], widths[4], r[4], r[5], r[6])
	}
	return w.Flush()
}

// columns are mode, links, owner, group, size, time and name.
func (l *lister) columns(x entry) []string {
	mode, name, size := letters(x.attr.Mode), quote(x.name), strconv.FormatUint(x.Size, 10)
	owner, group := quote(x.Owner), quote(x.Group)
	if x.ACL {
		mode += "+"
	}
	if l.f.numeric {
		owner, group = strconv.FormatUint(uint64(x.UID), 10), strconv.FormatUint(uint64(x.GID), 10)
	}
	if l.f.human {
		size = human(x.Size)
	}
	if x.Device != "" {
		size = strings.Replace(x.Device, ",", ", ", 1)
	}
	if x.Target != "" {
		name += " -> " + quote(x.Target)
	}
	return []string{mode, strconv.FormatUint(uint64(x.Nlink), 10), owner, group, size, l.time(x.Mtime), name}
}

// time is a time as ls -l has it: with the year instead of the hour when that
// is more than half a year away.
func (l *lister) time(t time.Time) string {
	switch away := time.Since(t); {
	case l.f.full:
		return t.Format("2006-01-02 15:04:05.000000000 -0700")
	case away < 0 || away > 365*24*time.Hour/2:
		return t.Format("Jan _2  2006")
	}
	return t.Format("Jan _2 15:04")
}

// human is a size as ls -h and du -h have it: rounded up to two digits.
func human(n uint64) string {
	const units = "KMGTPE"
	if n < 1024 {
		return strconv.FormatUint(n, 10)
	}
	unit, k := uint64(1024), 0
	for k+1 < len(units) && n > 1023*unit {
		unit, k = unit<<10, k+1
	}
	whole, rest := n/unit, n%unit
	if tenths := (rest*10 + unit - 1) / unit; whole < 10 && whole*10+tenths < 100 {
		return fmt.Sprintf("%d.%d%c", whole+tenths/10, tenths%10, units[k])
	}
	if rest > 0 {
		whole++
	}
	return fmt.Sprintf("%d%c", whole, units[k])
}

func (e *Env) printJSON(v any) error {
	enc := json.NewEncoder(e.Stdout)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
