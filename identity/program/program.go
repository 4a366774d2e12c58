// Package program runs the programs that configuration names to prove or to
// judge: the exec plugins of OIDC and CUSTOM. It holds them to a bound of what
// they print, and says in one clean line what they complained of. It refuses to
// choose their environment, their user or their time: that is the caller's.
package program

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/wardfs/wardfs/identity"
)

// ErrLong is why what a program printed is not used.
var ErrLong = errors.New("it printed too much")

// Run runs cmd to its end and answers what it printed, at most max bytes: else
// ErrLong. An error of the program ends in the first line of its complaint. What
// it has started may hold its pipes for a second longer.
func Run(cmd *exec.Cmd, max int) ([]byte, error) {
	out, complaint := &bounded{max: max}, &bounded{max: 64 << 10}
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = out, complaint, time.Second
	if err := cmd.Run(); err != nil {
		line, _, _ := strings.Cut(strings.TrimSpace(string(complaint.kept)), "\n")
		return nil, fmt.Errorf("%w: %s", err, identity.Clip(line))
	}
	if out.over {
		return nil, ErrLong
	}
	return out.kept, nil
}

// bounded keeps the beginning of what is written. It embeds no buffer, whose
// ReadFrom would let everything in.
type bounded struct {
	max  int
	kept []byte
	over bool
}

func (b *bounded) Write(p []byte) (int, error) {
	n := min(len(p), b.max-len(b.kept))
	b.kept, b.over = append(b.kept, p[:n]...), b.over || n < len(p)
	return len(p), nil
}
