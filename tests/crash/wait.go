package crash

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

func first(_ int, err error) error { return err }

// wait does one thing that has to wait. It says so before.
func wait(args []string) error {
	f := (*os.File)(nil)
	if args[0] == "flock" {
		var err error
		if f, err = os.OpenFile(args[1], os.O_RDWR, 0); err != nil {
			return err
		}
	}
	if args[0] == "dirty" {
		f, err := os.Create(args[1])
		if err != nil {
			return err
		}
		if err := errors.Join(first(f.WriteString("synced ")), f.Sync(), first(f.WriteString("dirty"))); err != nil {
			return err
		}
		os.Stdout.WriteString("!")
		if _, err := os.Stdin.Read(make([]byte, 1)); err != nil { // when the server is away
			return err
		}
		return f.Close()
	}
	os.Stdout.WriteString("!")
	switch args[0] {
	case "flock":
		return unix.Flock(int(f.Fd()), unix.LOCK_EX)
	case "mkdir":
		return os.Mkdir(args[1], 0o755)
	case "create":
		return os.WriteFile(args[1], nil, 0o644)
	case "fsync":
		d, err := os.Open(filepath.Dir(args[1]))
		if err != nil {
			return err
		}
		return errors.Join(d.Sync(), os.Mkdir(args[1], 0o755))
	default:
		var st unix.Statfs_t
		return unix.Statfs(filepath.Dir(args[1]), &st)
	}
}
