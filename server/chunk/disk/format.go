package disk

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
)

// The names in the directory beside those of volumes.
const (
	lockName   = "LOCK"
	formatName = "FORMAT"
	tmpSuffix  = ".tmp"
)

var errFormat = errors.New("file FORMAT is damaged")

// formatText is the file FORMAT: for people, and checked all the same, since
// a store that mistook its mark would take all its records for foreign ones.
func formatText(m mark) string {
	body := fmt.Sprintf("wardfs chunk store\nversion %d\nmark %s\n", version, hex.EncodeToString(m[:]))
	return fmt.Sprintf("%ssum %08x\n", body, crc32.Checksum([]byte(body), castagnoli))
}

// parseFormat reads it back. Every version ends with the sum of what is above.
func parseFormat(text string) (mark, error) {
	cut := strings.LastIndex(text, "sum ")
	if cut < 0 || text[cut:] != fmt.Sprintf("sum %08x\n", crc32.Checksum([]byte(text[:cut]), castagnoli)) {
		return mark{}, errFormat
	}
	var v uint32
	if n, err := fmt.Sscanf(text, "wardfs chunk store\nversion %d\n", &v); n != 1 || err != nil {
		return mark{}, errFormat
	}
	if v > version {
		return mark{}, &newerError{"it", v}
	}
	line := strings.Split(text, "\n")[2]
	b, err := hex.DecodeString(strings.TrimPrefix(line, "mark "))
	if err != nil || len(b) != len(mark{}) || formatText(mark(b)) != text {
		return mark{}, errFormat
	}
	return mark(b), nil
}

// loadFormat finds the store's mark. A store that has no volumes yet gets one;
// one that has lost its FORMAT finds the mark in its volumes.
func (s *Store) loadFormat(numbers []uint32) error {
	text, err := readFile(s.fs, formatName)
	if err == nil {
		s.mark, err = parseFormat(string(text))
	}
	newer := (*newerError)(nil)
	if err == nil || errors.As(err, &newer) {
		return err
	}
	if !isNotExist(err) && !errors.Is(err, errFormat) {
		return err
	}
	if len(numbers) == 0 {
		if errors.Is(err, errFormat) {
			s.cfg.Log.Warn("store without blocks gets a new FORMAT", "dir", s.cfg.Dir, "err", err)
		}
		rand.Read(s.mark[:])
		return replaceFile(s.fs, formatName, []byte(formatText(s.mark)))
	}
	s.cfg.Log.Error("FORMAT is lost, looking into the volumes", "dir", s.cfg.Dir, "err", err)
	if err := s.markFromVolumes(numbers); err != nil {
		return err
	}
	return replaceFile(s.fs, formatName, []byte(formatText(s.mark)))
}

// markFromVolumes takes the mark that all readable volumes agree on.
func (s *Store) markFromVolumes(numbers []uint32) error {
	found := false
	for _, n := range numbers {
		f, err := s.fs.open(volumeName(n), false)
		if err != nil {
			continue
		}
		b := make([]byte, sectorSize)
		err = readFull(f, [][]byte{b}, 0)
		f.close()
		if err != nil {
			continue
		}
		m, _, err := parseVolumeHead(b)
		newer := (*newerError)(nil)
		switch {
		case errors.As(err, &newer):
			return err
		case err != nil:
			continue
		case found && m != s.mark:
			return errors.New("FORMAT is lost, and the volumes are of more than one store")
		}
		s.mark, found = m, true
	}
	if !found {
		return errors.New("FORMAT is lost, and no volume tells what it was")
	}
	return nil
}
