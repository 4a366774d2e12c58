package mountopt

import (
	"fmt"
	"net"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

// DefaultPort is where a server listens unless it says otherwise.
const DefaultPort = "7470"

// Spec is what to mount.
type Spec struct {
	Servers []string // "host:port"; none if Dev is set
	Path    string   // the directory of the server to see as the root; "/" by default; "" is that too
	Dev     string   // the folder of a `wardfs dev` on this machine
}

// String is the spec as /proc/mounts shows it.
func (s Spec) String() string {
	if s.Dev != "" && s.Path != "" {
		return "dev:" + s.Dev + ":" + s.Path
	} else if s.Dev != "" {
		return "dev:" + s.Dev
	}
	return strings.Join(s.Servers, ",") + ":" + s.Path
}

// ParseSpec reads SERVER[,SERVER...][:/PATH] or dev:DIR[:/PATH], with "wardfs#" before
// it or not. A SERVER is HOST or HOST:PORT; an IPv6 address is in brackets.
func ParseSpec(text string) (Spec, error) {
	text = strings.TrimPrefix(text, "wardfs#")
	if dir, ok := strings.CutPrefix(text, "dev:"); ok && !isPort(dir) {
		return parseDev(dir, text)
	}
	if strings.Contains(text, "://") {
		return Spec{}, specError("it is no URL", text)
	}
	s := Spec{Path: "/"}
	servers := text
	if i := strings.Index(text, ":/"); i >= 0 {
		servers, s.Path = text[:i], path.Clean(text[i+1:])
	} else if h, ok := strings.CutSuffix(text, ":"); ok {
		servers = h // "server:", as for NFS
	}
	if strings.ContainsAny(s.Path, "\x00\n") {
		return Spec{}, badPath(text)
	}
	for _, one := range strings.Split(servers, ",") {
		hp, err := hostPort(one)
		if err != nil {
			return Spec{}, specError(err.Error(), text)
		}
		s.Servers = append(s.Servers, hp)
	}
	return s, nil
}

func badPath(text string) error {
	return specError("the path has a line break or a zero byte in it", text)
}

// parseDev reads DIR[:/PATH].
func parseDev(dir, text string) (Spec, error) {
	sub := ""
	if i := strings.Index(dir, ":/"); i >= 0 {
		dir, sub = dir[:i], path.Clean(dir[i+1:])
	}
	clean := filepath.Clean(dir)
	switch {
	case dir == "" || strings.ContainsRune(dir, 0) || isPort(clean):
		return Spec{}, specError("dev: needs a folder", text)
	case strings.ContainsAny(sub, "\x00\n"):
		return Spec{}, badPath(text)
	case sub == "/":
		sub = ""
	}
	return Spec{Dev: clean, Path: sub}, nil
}

// isPort tells host "dev" with a port from a folder.
func isPort(s string) bool {
	if i := strings.IndexAny(s, ":,"); i >= 0 {
		s = s[:i]
	}
	_, err := strconv.ParseUint(s, 10, 16)
	return err == nil
}

func hostPort(one string) (string, error) {
	host, port := one, DefaultPort
	switch {
	case strings.HasPrefix(one, "[") && strings.HasSuffix(one, "]"):
		host = one[1 : len(one)-1]
	case strings.Count(one, ":") > 1 && !strings.HasPrefix(one, "["):
		return "", fmt.Errorf("an IPv6 address stands in brackets: [%s]", one)
	case strings.Contains(one, ":"):
		var err error
		if host, port, err = net.SplitHostPort(one); err != nil {
			return "", fmt.Errorf("%q is no host and port", one)
		}
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", fmt.Errorf("%q is no port", port)
	}
	if strings.HasPrefix(one, "[") && net.ParseIP(strings.SplitN(host, "%", 2)[0]) == nil {
		return "", fmt.Errorf("%q is no address", host)
	}
	if host == "" || strings.ContainsAny(host, " \t\r\n\x00/\\@#[]") {
		return "", fmt.Errorf("%q is no host", host)
	}
	return net.JoinHostPort(host, port), nil
}

func specError(why, text string) error {
	return &Error{fmt.Sprintf("%q can't be mounted: %s", text, why), "write SERVER:/PATH, SERVER:PORT:/PATH or dev:DIR:/PATH"}
}
