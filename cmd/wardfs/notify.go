package main

import (
	"net"
	"strings"
)

// notifySystemd tells the service manager, if there is one, how we are: a
// datagram to $NOTIFY_SOCKET, see sd_notify(3). There is nobody to tell when
// that fails.
func notifySystemd(e *env, state string) {
	name := e.getenv("NOTIFY_SOCKET")
	if name == "" {
		return
	}
	if strings.HasPrefix(name, "@") { // the abstract namespace
		name = "\x00" + name[1:]
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		return
	}
	defer c.Close()
	_, _ = c.Write([]byte(state))
}
