package event_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/sdk/event"
)

func openLog(t *testing.T, dir string) *event.Log {
	t.Helper()
	l, err := event.OpenLog(dir)
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() }) // some tests close it themselves
	return l
}

func add(t *testing.T, l *event.Log, component string, kind event.Type, text string) uint64 {
	t.Helper()
	e := event.Event{Time: time.Now(), Component: component, Type: kind, Text: text}
	require.NoError(t, l.Append(&e))
	return e.Seq
}

// read returns the sequence numbers that a filter gives.
func read(t *testing.T, dir string, filter event.Filter) []uint64 {
	t.Helper()
	seqs := []uint64{}
	for e, err := range event.Read(t.Context(), dir, filter) {
		require.NoError(t, err)
		seqs = append(seqs, e.Seq)
	}
	return seqs
}

func TestEventsAreKept(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir)
	exit := &container.ExitStatus{Code: 137, Signal: 9}
	want := event.Event{
		Time: time.Now().UTC(), Component: "db", Type: event.Exited, Text: "ended by signal 9", Elapsed: time.Second, Exit: exit,
	}
	require.NoError(t, l.Append(&want))
	require.Equal(t, uint64(1), want.Seq)
	for got, err := range event.Read(t.Context(), dir, event.Filter{}) {
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	asked := event.Event{Component: "db", Type: event.Kept}
	require.NoError(t, l.Append(&asked))
	require.Zero(t, asked.Seq, "what is no change is not kept")
	require.Equal(t, []uint64{1}, read(t, dir, event.Filter{}))
}

func TestFilter(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir)
	add(t, l, "db", event.Starting, "")
	add(t, l, "web", event.Starting, "")
	add(t, l, "db", event.Running, "")
	time.Sleep(time.Millisecond)
	since := time.Now()
	add(t, l, "", event.Recovered, "")
	for name, c := range map[string]struct {
		filter event.Filter
		want   []uint64
	}{
		"all":   {event.Filter{}, []uint64{1, 2, 3, 4}},
		"after": {event.Filter{After: 2}, []uint64{3, 4}},
		"last":  {event.Filter{After: 4}, []uint64{}},
		"names": {event.Filter{Names: []string{"db", "none"}}, []uint64{1, 3}},
		"types": {event.Filter{Types: []event.Type{event.Running, event.Starting}, Names: []string{"web"}}, []uint64{2}},
		"since": {event.Filter{Since: since}, []uint64{4}},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, c.want, read(t, dir, c.filter)) })
	}
}

func TestNumbersGoOnAfterACrash(t *testing.T) {
	for name, tail := range map[string]string{
		"nothing":      "",
		"a torn line":  `{"seq": 4, "time": "2026-`,
		"zeros":        "\x00\x00\x00\x00",
		"no event":     "nonsense\n{}\n[]\n",
		"a long line":  strings.Repeat("x", 1<<20) + "\n",
		"a torn giant": strings.Repeat("x", 1<<20),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			l := openLog(t, dir)
			for range 3 {
				add(t, l, "db", event.Running, "")
			}
			f, err := os.OpenFile(filepath.Join(dir, "events.jsonl"), os.O_APPEND|os.O_WRONLY, 0)
			require.NoError(t, err)
			_, err = f.WriteString(tail)
			require.NoError(t, errors.Join(err, f.Close()))
			require.Equal(t, []uint64{1, 2, 3}, read(t, dir, event.Filter{}))

			again := openLog(t, dir)
			require.Equal(t, uint64(4), add(t, again, "db", event.Exited, ""))
			require.Equal(t, []uint64{1, 2, 3, 4}, read(t, dir, event.Filter{}))
		})
	}
}

func TestRotation(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir)
	long := strings.Repeat("x", 100<<10)
	var last uint64
	for range 60 { // 6 MB
		last = add(t, l, "db", event.Failed, long)
	}
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 4, "the current file and three before it")
	total := int64(0)
	for _, entry := range entries {
		info, err := entry.Info()
		require.NoError(t, err)
		total += info.Size()
	}
	require.LessOrEqual(t, total, int64(4<<20))

	kept := read(t, dir, event.Filter{})
	require.Equal(t, last, kept[len(kept)-1])
	for i, seq := range kept {
		require.Equal(t, kept[0]+uint64(i), seq, "nothing is missing in between")
	}
	require.NoError(t, l.Close())
	require.Equal(t, last+1, add(t, openLog(t, dir), "db", event.Running, ""))

	var gap *event.GapError
	var seqs []uint64
	for e, err := range event.Read(t.Context(), dir, event.Filter{After: 2}) {
		if err != nil {
			require.ErrorAs(t, err, &gap)
			require.Empty(t, seqs, "it comes first")
			continue
		}
		seqs = append(seqs, e.Seq)
	}
	require.Equal(t, &event.GapError{After: 2, Next: kept[0]}, gap)
	require.Equal(t, append(kept, last+1), seqs)
}

func TestNumbersGoOnWhereTheCurrentFileIsGone(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir)
	add(t, l, "db", event.Running, "")
	add(t, l, "db", event.Exited, "")
	require.NoError(t, os.Rename(filepath.Join(dir, "events.jsonl"), filepath.Join(dir, "events.jsonl.1")))
	require.Equal(t, uint64(3), add(t, openLog(t, dir), "db", event.Running, ""))
}

// TestFollowMissesNothing writes past several rotations while somebody follows.
func TestFollowMissesNothing(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	const count = 2000
	var read atomic.Uint64
	go func() {
		l, err := event.OpenLog(dir)
		if err != nil {
			cancel()
			return
		}
		for i := range count {
			e := event.Event{Time: time.Now(), Component: "db", Type: event.Running, Text: strings.Repeat("x", 2000)}
			if l.Append(&e) != nil {
				cancel()
			}
			// Who follows may be behind by less than is kept.
			for uint64(i) > read.Load()+800 && ctx.Err() == nil {
				time.Sleep(time.Millisecond)
			}
		}
		if l.Close() != nil {
			cancel()
		}
	}()
	next := uint64(1)
	for e, err := range event.Read(ctx, dir, event.Filter{Follow: true}) {
		require.NoError(t, err)
		require.Equal(t, next, e.Seq)
		read.Store(next)
		if next++; next > count {
			break
		}
	}
	require.Equal(t, uint64(count+1), next)
}

func TestFollowEndsWithItsContext(t *testing.T) {
	dir := t.TempDir()
	add(t, openLog(t, dir), "db", event.Running, "")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n := 0
	for _, err := range event.Read(ctx, dir, event.Filter{Follow: true}) {
		require.NoError(t, err)
		n++
		cancel()
	}
	require.Equal(t, 1, n)
}

// FuzzLog: whatever lies there, it can be added to, numbers grow, and what is
// added is read.
func FuzzLog(f *testing.F) {
	for _, seed := range []string{"", "\n", "{", `{"seq":3,"type":"running"}`, "{\"seq\":3,\"type\":\"running\"}\n{\"seq\":", "{\"seq\":18446744073709551614}\n"} {
		f.Add([]byte(seed), []byte(seed))
	}
	f.Fuzz(func(t *testing.T, current, old []byte) {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "events.jsonl"), current, 0o600))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "events.jsonl.1"), old, 0o600))
		before := uint64(0)
		for e, err := range event.Read(t.Context(), dir, event.Filter{}) {
			require.NoError(t, gapless(err))
			if err == nil {
				require.Greater(t, e.Seq, before)
				before = e.Seq
			}
		}
		if before == 1<<53-1 {
			return
		}
		l := openLog(t, dir)
		seq := add(t, l, "db", event.Running, "text")
		require.NoError(t, l.Close())
		require.Greater(t, seq, before)
		require.Equal(t, []uint64{seq}, read(t, dir, event.Filter{After: seq - 1}))
	})
}

// gapless drops the error that events are missing.
func gapless(err error) error {
	var gap *event.GapError
	if errors.As(err, &gap) {
		return nil
	}
	return err
}
