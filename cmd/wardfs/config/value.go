package config

import (
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/wardfs/wardfs/posix"
)

// Mode is permission bits, written in octal.
type Mode uint32

// Size is bytes, written with a unit: "64MiB".
type Size int64

// hinted is a value's error with what to write instead.
type hinted struct{ text, next string }

func (h hinted) Error() string { return h.text }
func (h hinted) Hint() string  { return h.next }

// parse reads a single value of type t.
func parse(t reflect.Type, text string) (any, error) {
	switch t {
	case reflect.TypeFor[time.Duration]():
		return ParseDuration(text)
	case reflect.TypeFor[Mode]():
		return parseMode(text)
	case reflect.TypeFor[Size]():
		return ParseSize(text)
	}
	switch t.Kind() {
	case reflect.Bool:
		switch strings.ToLower(text) {
		case "true", "yes", "on":
			return true, nil
		case "false", "no", "off":
			return false, nil
		}
		return nil, hinted{fmt.Sprintf("%q is neither true nor false", text), "write true or false"}
	case reflect.Uint32:
		n, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			return nil, hinted{fmt.Sprintf("%q is no number", text), "write a whole number below 4294967296"}
		}
		return uint32(n), nil
	case reflect.String:
		if strings.ContainsAny(text, "\x00\n") {
			return nil, hinted{"has a line break or a zero byte", ""}
		}
		return text, nil
	}
	panic("config: a key of type " + t.String())
}

func parseMode(text string) (Mode, error) {
	n, err := strconv.ParseUint(strings.TrimPrefix(text, "0o"), 8, 32)
	if err != nil || posix.Mode(n)&^posix.PermMask != 0 {
		return 0, hinted{fmt.Sprintf("%q are no permission bits", text), "write them in octal, as 0755 or 1777"}
	}
	return Mode(n), nil
}

// ParseDuration reads "60s", "1h30m". A number needs its unit, and is not
// negative.
func ParseDuration(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	_, number := strconv.ParseFloat(text, 64)
	switch {
	case number == nil && text != "0":
		return 0, hinted{fmt.Sprintf("%q has no unit", text), fmt.Sprintf("write %ss for seconds; ms, m and h are known too", text)}
	case err != nil:
		return 0, hinted{fmt.Sprintf("%q is no duration", text), "write as 500ms, 60s, 5m or 1h30m"}
	case d < 0:
		return 0, hinted{fmt.Sprintf("%q is negative", text), "write as 60s"}
	}
	return d, nil
}

var sizes = map[string]float64{
	"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
	"kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12,
}

// ParseSize reads "256MiB", "1.5GB" into bytes. A number needs its unit.
func ParseSize(text string) (Size, error) {
	i := strings.LastIndexAny(text, "0123456789.") + 1
	n, err := strconv.ParseFloat(text[:i], 64)
	if err != nil || n < 0 || strings.ContainsAny(text[:i], "eExXpP_+-") {
		return 0, hinted{fmt.Sprintf("%q is no size", text), "write as 64MiB or 2GiB"}
	}
	unit := strings.TrimSpace(text[i:])
	scale, ok := sizes[unit]
	switch {
	case unit == "" && n == 0:
		return 0, nil
	case unit == "":
		return 0, hinted{fmt.Sprintf("%q has no unit", text), fmt.Sprintf("write %sB for bytes; KiB, MiB, GiB, TiB, kB, MB, GB and TB are known too", text)}
	case !ok:
		return 0, hinted{fmt.Sprintf("%q has an unknown unit", text), "write B, KiB, MiB, GiB, TiB, kB, MB, GB or TB"}
	case n*scale >= math.MaxInt64:
		return 0, hinted{fmt.Sprintf("%q is too large", text), "write as 64MiB or 2GiB"}
	}
	return Size(n * scale), nil
}

// String is the size in its largest whole unit.
func (s Size) String() string {
	for _, u := range []struct {
		name string
		size Size
	}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if s >= u.size && s%u.size == 0 {
			return fmt.Sprintf("%d%s", int64(s/u.size), u.name)
		}
	}
	return fmt.Sprintf("%dB", int64(s))
}
