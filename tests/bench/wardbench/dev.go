package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// startDev starts `wardfs dev` (WARDFS_BIN, else bin/wardfs) over dir and
// returns when mnt can be used. Its log lies beside dir.
func startDev(dir, mnt string) (stop func() error, err error) {
	bin := os.Getenv("WARDFS_BIN")
	if bin == "" {
		bin = filepath.Join("bin", "wardfs")
	}
	log, err := os.Create(dir + ".log")
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(bin, "dev", "--dir", dir, "--mount", mnt)
	cmd.Stderr = log
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("make build comes first: %w", err)
	}
	for s := bufio.NewScanner(out); s.Scan(); {
		if strings.HasPrefix(s.Text(), "ready:") {
			return func() error { return errors.Join(cmd.Process.Signal(syscall.SIGTERM), cmd.Wait()) }, nil
		}
	}
	said, _ := os.ReadFile(log.Name())
	return nil, fmt.Errorf("wardfs dev: %w\n%s", cmd.Wait(), said)
}
