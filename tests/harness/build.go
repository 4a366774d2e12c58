package harness

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Binary is the wardfs under test: WARDFS_BIN if that is set, else one built
// from this tree, once. WARDFS_RACE=1 builds it with the race detector.
func Binary() (string, error) {
	race := os.Getenv("WARDFS_RACE") == "1"
	if bin := os.Getenv("WARDFS_BIN"); bin != "" && !race {
		return filepath.Abs(bin)
	}
	return session.binary()
}

func (s *sessionState) build() (string, error) {
	bin := filepath.Join(s.root, "bin", "wardfs")
	args := []string{"build", "-o", bin}
	if os.Getenv("WARDFS_RACE") == "1" {
		args = append(args, "-race")
	}
	out, err := exec.Command("go", append(args, "github.com/wardfs/wardfs/cmd/wardfs")...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return bin, nil
}

// Source is the top of this repository.
func Source() (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	return strings.TrimSpace(string(out)), err
}
