package logfile_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/sdk/logfile"
)

func openWriter(t testing.TB, path string, limits logfile.Limits) *logfile.Writer {
	t.Helper()
	w, err := logfile.OpenWriter(path, limits)
	require.NoError(t, err)
	return w
}

func write(t testing.TB, w *logfile.Writer, text string) {
	t.Helper()
	_, err := io.WriteString(w, text)
	require.NoError(t, err)
}

// writeAt adds to a stream as if it were t.
func writeAt(t *testing.T, w *logfile.Writer, at time.Time, text string) {
	t.Helper()
	require.NoError(t, w.Begin(at))
	n, err := w.Data().WriteString(text)
	require.NoError(t, err)
	require.NoError(t, w.Added(int64(n)))
}

func read(t *testing.T, path string, opts logfile.Options) string {
	t.Helper()
	r, err := logfile.Open(t.Context(), path, opts)
	require.NoError(t, err)
	defer r.Close()
	text, err := io.ReadAll(r)
	require.NoError(t, err)
	return string(text)
}

func files(t *testing.T, path string) []string {
	t.Helper()
	names, err := filepath.Glob(path + "*")
	require.NoError(t, err)
	for i := range names {
		names[i] = filepath.Base(names[i])
	}
	return names
}

func numbered(from, to int) string {
	var text strings.Builder
	for i := from; i < to; i++ {
		fmt.Fprintf(&text, "line %04d\n", i) // 10 bytes
	}
	return text.String()
}

func TestRotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.out")
	w := openWriter(t, path, logfile.Limits{Size: 1000, Files: 3})
	for i := range 1000 {
		write(t, w, numbered(i, i+1))
		end, err := logfile.End(path)
		require.NoError(t, err)
		require.Equal(t, int64(10*(i+1)), end)
	}
	require.NoError(t, w.Close())

	names := files(t, path)
	require.Len(t, names, 6, "three files and their indexes: %v", names)
	for _, name := range names {
		info, err := os.Stat(filepath.Join(filepath.Dir(path), name))
		require.NoError(t, err)
		require.LessOrEqual(t, info.Size(), int64(1010), name)
	}
	kept := read(t, path, logfile.Options{})
	require.Greater(t, len(kept), 1800)
	require.Equal(t, numbered(1000-len(kept)/10, 1000), kept)
	require.Equal(t, numbered(850, 1000), read(t, path, logfile.Options{Tail: 150}), "a tail across files")
	require.Equal(t, numbered(900, 1000), read(t, path, logfile.Options{From: 9000}))
	require.Equal(t, kept, read(t, path, logfile.Options{From: 10}), "from a place that is gone")

	// Two files at least, or rotation would throw away what was just written.
	w = openWriter(t, path, logfile.Limits{Size: 100, Files: 1})
	write(t, w, numbered(1000, 1011))
	require.NoError(t, w.Close())
	require.True(t, strings.HasSuffix(read(t, path, logfile.Options{}), numbered(1000, 1011)))

	other := path + "put"
	write(t, openWriter(t, other, logfile.Limits{}), "another stream")
	require.NoError(t, logfile.Remove(path))
	require.Equal(t, []string{"x.output", "x.output.0.index"}, files(t, path))
	require.NoError(t, logfile.Remove(path), "a second time")
}

// A file ends with a line if one ends soon, and anyhow some time.
func TestRotationAtLineEnd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.out")
	w := openWriter(t, path, logfile.Limits{Size: 1000})
	write(t, w, strings.Repeat("x", 100_000))
	require.Len(t, files(t, path), 2, "the line has not ended")
	write(t, w, "\n")
	require.Len(t, files(t, path), 4)
	write(t, w, strings.Repeat("y", 3<<20))
	require.NoError(t, w.Close())
	var total int64
	for _, name := range files(t, path) {
		info, err := os.Stat(filepath.Join(filepath.Dir(path), name))
		require.NoError(t, err)
		require.Less(t, info.Size(), int64(1000+1<<20+64<<10+1), "%s", name)
		total += info.Size()
	}
	require.Greater(t, total, int64(2<<20))

	// Its pieces are one line.
	r, err := logfile.Open(t.Context(), path, logfile.Options{})
	require.NoError(t, err)
	defer r.Close()
	line := 0
	for {
		piece, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		require.True(t, piece.Open)
		require.LessOrEqual(t, len(piece.Text), 64<<10)
		line += len(piece.Text)
	}
	require.Equal(t, len(read(t, path, logfile.Options{})), line)
}

// Whatever a killed writer leaves is read whole, and the next one goes on.
func TestKilledWriter(t *testing.T) {
	const limit = 400                      // with 16 bytes of index for each line
	future := time.Unix(100, 0).UnixNano() // of what was lost
	for name, leave := range map[string]func(t *testing.T, path string){
		"nothing":        func(*testing.T, string) {},
		"next index":     func(t *testing.T, path string) { touch(t, path+".250.index") },
		"next file":      func(t *testing.T, path string) { touch(t, path+".250.index"); touch(t, path+".next") },
		"no newest":      func(t *testing.T, path string) { touch(t, path+".next"); rename(t, path, path+".200") },
		"old ones":       func(t *testing.T, path string) { rename(t, path, path+".200"); touch(t, path) },
		"no index":       func(t *testing.T, path string) { require.NoError(t, os.Remove(path+".200.index")) },
		"half an entry":  func(t *testing.T, path string) { add(t, path+".200.index", []byte{1, 2, 3}) },
		"entry for none": func(t *testing.T, path string) { add(t, path+".200.index", entry(250, future)) },
		"entries, no data": func(t *testing.T, path string) {
			add(t, path+".200.index", slices.Concat(entry(900, future), entry(901, future), []byte{9}))
		},
		"somebody else's": func(t *testing.T, path string) { add(t, path+".0200", []byte("x")); add(t, path+".bak", []byte("x")) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "x.out")
			layout(t, path)
			leave(t, path)
			require.Equal(t, numbered(0, 25), read(t, path, logfile.Options{}))

			w := openWriter(t, path, logfile.Limits{Size: limit, Files: 9})
			for i := 25; i < 60; i++ {
				writeAt(t, w, time.Unix(int64(i), 0), numbered(i, i+1))
			}
			require.NoError(t, w.Close())
			require.Equal(t, numbered(0, 60), read(t, path, logfile.Options{}))
			require.Equal(t, numbered(40, 60), read(t, path, logfile.Options{Since: time.Unix(40, 0)}))
		})
	}
}

// layout brings 25 lines into a file of 20 and one of 5, each line with an entry.
func layout(t *testing.T, path string) {
	t.Helper()
	add(t, path+".0", []byte(numbered(0, 20)))
	add(t, path, []byte(numbered(20, 25)))
	for i := range 25 {
		add(t, fmt.Sprintf("%s.%d.index", path, i/20*200), entry(int64(10*i), time.Unix(int64(i), 0).UnixNano()))
	}
}

// What an index says too much is gone when the next writer is there, and it never
// says twice what comes next.
func TestIndexIsRepaired(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.out")
	add(t, path, []byte(numbered(0, 2)))
	whole := slices.Concat(entry(0, 1), entry(10, 2))
	add(t, path+".0.index", slices.Concat(whole, entry(20, 3), entry(30, 4), entry(40, 5), []byte{6}))
	w := openWriter(t, path, logfile.Limits{})
	index, err := os.ReadFile(path + ".0.index")
	require.NoError(t, err)
	require.Equal(t, whole, index)

	for i := range 3 { // and nothing came
		require.NoError(t, w.Begin(time.Unix(int64(i), 0)))
	}
	writeAt(t, w, time.Unix(7, 0), "more\n")
	require.NoError(t, w.Close())
	index, err = os.ReadFile(path + ".0.index")
	require.NoError(t, err)
	require.Equal(t, slices.Concat(whole, entry(20, 7_000_000_000)), index)
}

func touch(t *testing.T, path string) { add(t, path, nil) }

func rename(t *testing.T, from, to string) { require.NoError(t, os.Rename(from, to)) }

func add(t *testing.T, path string, content []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	require.NoError(t, err)
	_, err = f.Write(content)
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

// entry is 16 bytes of an index, as the package comment describes them.
func entry(offset, nanoseconds int64) []byte {
	var b []byte
	for _, n := range []int64{offset, nanoseconds} {
		for range 8 {
			b = append(b, byte(n))
			n >>= 8
		}
	}
	return b
}

func BenchmarkWrite(b *testing.B) {
	w := openWriter(b, filepath.Join(b.TempDir(), "x.out"), logfile.Limits{})
	block := bytes.Repeat([]byte("y\n"), 256<<10)
	b.SetBytes(int64(len(block)))
	for b.Loop() {
		if _, err := w.Write(block); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
}
