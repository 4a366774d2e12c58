package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/wardfs/wardfs/client/file"
)

// What a mount that ends does with written data that its server has not taken.
const (
	// flushTime is how long it tries when a signal ends it, programs or none.
	flushTime = 30 * time.Second
	// forceTime is how long it tries when its user has said not to wait.
	forceTime = 2 * time.Second
	// lingerTime is how long it waits for a server that is away, once it is
	// unmounted and its user has said nothing. With no such data it is
	// flushTime, which the last closes have then.
	lingerTime = 10 * time.Minute
)

// giveUp ends a mount that is out of sight and whose server is away: there the
// last requests would wait for ever, and the daemon with them.
func (m *mount) giveUp() {
	seen, ok := mountAt(m.mnt)
	if !ok {
		return
	}
	var away time.Duration
	const often = 2 * time.Second
	for tick := time.NewTicker(often); ; {
		select {
		case <-m.closed:
			tick.Stop()
			return
		case <-tick.C:
		}
		if m.client.Connected() || stillMounted(seen.Device) {
			away = 0
			continue
		}
		limit := flushTime
		if files, bytes := m.unsaved(); files > 0 {
			if limit = lingerTime; away == 0 {
				m.log.Warn("unmounted, and written data waits for the server", "mountpoint", m.mnt,
					"bytes", bytes, "files", files, "at_most", limit, "to_give_up", "wardfs umount --force "+m.mnt)
			}
		}
		if away += often; away >= limit {
			m.log.Error("unmounted while the server is away, giving up", "mountpoint", m.mnt)
			m.within(0)
			m.end()
		}
	}
}

// unsaved is how much is written and not committed.
func (m *mount) unsaved() (files int, bytes uint64) {
	all := m.client.Files().Unsaved()
	for _, u := range all {
		bytes += u.Bytes
	}
	return len(all), bytes
}

// unmount flushes and unmounts. It waits for a server that is away as long as
// ctx does: then, and while a process uses the mount, it stays as it is.
func (m *mount) unmount(ctx context.Context) error {
	if err := m.client.Files().SyncAll(ctx); err != nil {
		return fail(exitCode(err), "bring the server back, or give up what is not stored with --force", "not all that was written could be flushed: %w", err)
	}
	if err := m.fuse.Unmount(); err != nil {
		text := fmt.Sprintf("%s is busy", m.mnt)
		if who := users(m.mnt); who != "" {
			text += ": " + who
		}
		return &failure{exitInUse, text, "end these processes, or take it out of sight with -l", err}
	}
	<-m.closed
	return m.err
}

// close ends the mount for good, within flushTime: what uses it still gets an
// error from then on, and what was written to it until then is flushed, as far
// as the server takes it.
func (m *mount) close() error {
	m.within(flushTime)
	if files, bytes := m.unsaved(); files > 0 {
		m.log.Info("flushing before the end", "mountpoint", m.mnt, "bytes", bytes, "files", files, "at_most", flushTime)
	}
	return m.leave(flushTime)
}

// force is close for whoever does not want to wait.
func (m *mount) force() error {
	m.within(forceTime)
	return m.leave(forceTime)
}

// leave flushes for so long, unmounts, lazily if it must, and ends.
func (m *mount) leave(limit time.Duration) error {
	// Half of the time: programs go on writing, and what they write until they
	// are refused is flushed after that.
	ctx, cancel := context.WithTimeout(context.Background(), limit/2)
	defer cancel()
	if err := m.client.Files().SyncAll(ctx); err != nil && !isClosed(m.closed) {
		m.log.Warn("not all that was written could be flushed", "mountpoint", m.mnt, "err", err)
	}
	if err := m.fuse.Unmount(); err != nil {
		m.log.Warn("in use, unmounting lazily", "mountpoint", m.mnt, "by", users(m.mnt))
		if err := m.fuse.Detach(); err != nil {
			return err
		}
	}
	go m.end() // it waits in turn for whoever asked for this over the socket
	<-m.closed
	return m.err
}

// within lets the flushing at the end take so long from now and no longer.
func (m *mount) within(limit time.Duration) {
	time.AfterFunc(limit, func() { m.cutting.Do(func() { close(m.cut) }) })
}

// end flushes what is left and hangs up, once.
func (m *mount) end() {
	m.once.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), lingerTime)
		defer cancel()
		go func() {
			select {
			case <-m.cut:
				cancel()
			case <-ctx.Done():
			}
		}()
		if err := m.client.Close(ctx); err != nil {
			m.err = m.lost(err)
			m.log.Error("at the end not all could be flushed", "mountpoint", m.mnt, "err", err)
		}
		m.log.Info("unmounted", "mountpoint", m.mnt)
		close(m.closed)
		told, cancel := context.WithTimeout(context.Background(), forceTime)
		defer cancel()
		m.socket.Close(told)
		close(m.done)
	})
}

// lost says what the end of a mount has cost.
func (m *mount) lost(err error) error {
	if _, ok := errors.AsType[*file.LostError](err); !ok {
		return fail(exitCode(err), "look at the server; what programs had synced is safe", "%s: written data may be lost: %w", m.mnt, err)
	}
	return fail(exitCode(err), "what programs had synced is safe; `find "+m.mnt+" -inum N` names a file when it is mounted again", "%s: %w", m.mnt, err)
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
