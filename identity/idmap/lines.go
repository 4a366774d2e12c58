package idmap

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// Lines are the bounds of a file that people write, one thing to a line. Empty
// lines, and those that begin with #, say nothing.
type Lines struct {
	Most    int    // lines
	Bound   string // what the error says of Most: "a map has at most"
	Longest int    // bytes of a line; default 64 KiB
}

// Each calls f for each line that says something, without the white space
// around it, until f answers an error. Errors begin with the line's number.
func (l Lines) Each(r io.Reader, f func(text string) error) error {
	in, line := bufio.NewScanner(r), 0
	if l.Longest > 0 {
		in.Buffer(nil, l.Longest)
	}
	for in.Scan() {
		if line++; line > l.Most {
			return fmt.Errorf("line %d: %s %d lines", line, l.Bound, l.Most)
		}
		text := strings.TrimSpace(in.Text())
		if text == "" || text[0] == '#' {
			continue
		}
		if err := f(text); err != nil {
			return fmt.Errorf("line %d: %w", line, err)
		}
	}
	if err := in.Err(); err != nil {
		return fmt.Errorf("line %d: %w", line+1, err)
	}
	return nil
}
