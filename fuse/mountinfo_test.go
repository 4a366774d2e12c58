package fuse

import (
	"slices"
	"strings"
	"testing"
)

func TestParseMounts(t *testing.T) {
	for _, c := range []struct {
		line string
		want []MountInfo
	}{
		{"36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue", []MountInfo{{"98:0", "/mnt2", "ext3", "/dev/root"}}},
		{`36 35 0:50 / /a\040b\134 rw - fuse.wardfs server:/ rw,user_id=0`, []MountInfo{{"0:50", "/a b\\", "fuse.wardfs", "server:/"}}},
		{"36 35 0:50 / /mnt rw", nil},
		{"36 35 - x", nil},
		{"", nil},
	} {
		if got, err := parseMounts(strings.NewReader(c.line)); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%q: %v %v", c.line, got, err)
		}
	}
}

func FuzzParseMounts(f *testing.F) {
	f.Add("36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 - fuse.wardfs dev:/x rw\n")
	f.Fuzz(func(t *testing.T, text string) {
		all, err := parseMounts(strings.NewReader(text))
		if err == nil && len(all) > strings.Count(text, "\n")+1 {
			t.Errorf("%d mounts of %q", len(all), text)
		}
	})
}
