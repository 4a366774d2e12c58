package main

import (
	"net"
	"path/filepath"
	"testing"
)

func TestSystemdIsTold(t *testing.T) {
	name := filepath.Join(t.TempDir(), "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	notifySystemd(&env{environ: []string{"NOTIFY_SOCKET=" + name}}, "READY=1")
	got := make([]byte, 64)
	n, err := c.Read(got)
	if err != nil || string(got[:n]) != "READY=1" {
		t.Errorf("got %q, %v", got[:n], err)
	}
	notifySystemd(&env{}, "READY=1")                                            // nobody to tell
	notifySystemd(&env{environ: []string{"NOTIFY_SOCKET=/no/such"}}, "READY=1") // nor here
}
