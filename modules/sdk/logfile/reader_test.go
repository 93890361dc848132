package logfile_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/sdk/logfile"
)

func second(n int) time.Time { return time.Unix(1_000_000_000+int64(n), 0) }

func TestTimes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.out")
	w := openWriter(t, path, logfile.Limits{Size: 60})
	for _, part := range []struct {
		at   int
		text string
	}{
		{1, "a\nb\n"},
		{2, "c\n"},
		{3, "broken "},
		{5, "off\nd\n"},
		{6, "e\n"},
		{4, "clock set back\n"},
		{7, "f\n"},
		{8, "end"},
	} {
		writeAt(t, w, second(part.at), part.text)
	}
	require.NoError(t, w.Close())
	require.Greater(t, len(files(t, path)), 2, "it was rotated")

	for name, tt := range map[string]struct {
		opts logfile.Options
		want string
	}{
		"all":                {logfile.Options{}, "1a 1b 2c 3broken off 5d 6e 4clock set back 7f 8end+"},
		"since":              {logfile.Options{Since: second(2)}, "2c 3broken off 5d 6e 4clock set back 7f 8end+"},
		"since, between":     {logfile.Options{Since: second(6).Add(-1)}, "6e 4clock set back 7f 8end+"},
		"since within line":  {logfile.Options{Since: second(5)}, "5d 6e 4clock set back 7f 8end+"},
		"since the first":    {logfile.Options{Since: second(0)}, "1a 1b 2c 3broken off 5d 6e 4clock set back 7f 8end+"},
		"since the end":      {logfile.Options{Since: second(9)}, ""},
		"until":              {logfile.Options{Until: second(2)}, "1a 1b 2c"},
		"until within line":  {logfile.Options{Until: second(4)}, "1a 1b 2c 3broken off"},
		"until before":       {logfile.Options{Until: second(0)}, ""},
		"until the end":      {logfile.Options{Until: second(9)}, "1a 1b 2c 3broken off 5d 6e 4clock set back 7f 8end+"},
		"since and until":    {logfile.Options{Since: second(2), Until: second(5)}, "2c 3broken off 5d"},
		"tail":               {logfile.Options{Tail: 3}, "4clock set back 7f 8end+"},
		"tail until":         {logfile.Options{Tail: 2, Until: second(2)}, "1b 2c"},
		"tail since":         {logfile.Options{Tail: 4, Since: second(7)}, "7f 8end+"},
		"from":               {logfile.Options{From: 4}, "2c 3broken off 5d 6e 4clock set back 7f 8end+"},
		"from, since":        {logfile.Options{From: 4, Since: second(1)}, "2c 3broken off 5d 6e 4clock set back 7f 8end+"},
		"since after until":  {logfile.Options{Since: second(5), Until: second(2)}, ""},
		"from beyond":        {logfile.Options{From: 400, Until: second(1)}, "1a 1b"},
		"follow until":       {logfile.Options{Follow: true, Until: second(5)}, "1a 1b 2c 3broken off 5d"},
		"follow, tail until": {logfile.Options{Follow: true, Tail: 1, Until: second(5)}, "5d"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := logfile.Open(t.Context(), path, tt.opts)
			require.NoError(t, err)
			defer r.Close()
			var got []string
			for {
				line, err := r.Next()
				if errors.Is(err, io.EOF) {
					break
				}
				require.NoError(t, err)
				text := string(rune('0'+line.Time.Sub(second(0))/time.Second)) + string(line.Text)
				if line.Open {
					text += "+"
				}
				got = append(got, text)
			}
			require.Equal(t, tt.want, strings.Join(got, " "))
			require.Equal(t, tt.opts.Follow, r.Over() && tt.opts.Follow)
			if tt.opts.Tail > 0 {
				require.Equal(t, len(got), r.Lines())
			}
			if !tt.opts.Follow {
				require.Equal(t, len(strings.NewReplacer("+", "").Replace(strings.Join(got, ""))),
					len(read(t, path, tt.opts))-strings.Count(read(t, path, tt.opts), "\n")+len(got), "Read agrees")
			}
		})
	}
}

// A followed stream ends where its time is over, and a long line is as old as its
// beginning.
func TestFollowUntil(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.out")
	w := openWriter(t, path, logfile.Limits{})
	defer w.Close()
	r, err := logfile.Open(t.Context(), path, logfile.Options{Follow: true, Until: second(5)})
	require.NoError(t, err)
	defer r.Close()
	writeAt(t, w, second(1), strings.Repeat("x", 64<<10))
	writeAt(t, w, second(5), "rest\n")
	writeAt(t, w, second(6), "too late\n")
	for _, open := range []bool{true, false} {
		line, err := r.Next()
		require.NoError(t, err)
		require.Equal(t, open, line.Open)
		require.Equal(t, second(1), line.Time)
	}
	_, err = r.Next()
	require.ErrorIs(t, err, io.EOF)
	require.True(t, r.Over())
}

// An index says nothing about time between its entries, so that it is small.
func TestIndexIsSmall(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.out")
	w := openWriter(t, path, logfile.Limits{})
	for i := range 1000 {
		writeAt(t, w, second(0).Add(time.Duration(i)*time.Millisecond), "x\n")
	}
	require.NoError(t, w.Close())
	info, err := os.Stat(path + ".0.index")
	require.NoError(t, err)
	require.Equal(t, int64(16*100), info.Size())
}

// A reader that keeps up loses nothing, however often files change.
func TestFollowRotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.out")
	r, err := logfile.Open(t.Context(), path, logfile.Options{Follow: true})
	require.NoError(t, err)
	defer r.Close()
	_, err = r.Next()
	require.ErrorIs(t, err, io.EOF, "it does not exist yet")

	w := openWriter(t, path, logfile.Limits{Size: 1000, Files: 3})
	line := 0
	for round := range 200 {
		// Up to two files at once, so that the one being read is not removed.
		n := round % 110
		writeLines(t, w, line, line+n)
		if round%2 == 0 {
			write(t, w, "half") // of a line that the next round goes on with
		}
		for range n {
			got, err := r.Next()
			require.NoError(t, err)
			require.Equal(t, numbered(line, line+1), strings.TrimPrefix(string(got.Text), "half")+"\n")
			line++
		}
		_, err := r.Next()
		require.ErrorIs(t, err, io.EOF, "a line that has not ended is none")
	}
	require.Zero(t, r.Skipped())
	require.NoError(t, w.Close())
	write(t, w2(t, path), "the last")
	r.Finish()
	got, err := r.Next()
	require.NoError(t, err)
	require.True(t, got.Open)
	require.True(t, strings.HasSuffix(string(got.Text), "the last"))
}

// writeLines writes each line by itself, so that files change between them.
func writeLines(t *testing.T, w *logfile.Writer, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		write(t, w, numbered(i, i+1))
	}
}

func w2(t *testing.T, path string) *logfile.Writer {
	w := openWriter(t, path, logfile.Limits{})
	t.Cleanup(func() { require.NoError(t, w.Close()) })
	return w
}

// One that does not is told how much it has missed.
func TestFollowTooSlow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.out")
	w := openWriter(t, path, logfile.Limits{Size: 1000, Files: 3})
	defer w.Close()
	write(t, w, numbered(0, 10)+"half")
	r, err := logfile.Open(t.Context(), path, logfile.Options{Follow: true})
	require.NoError(t, err)
	defer r.Close()
	for range 10 {
		_, err := r.Next()
		require.NoError(t, err)
	}
	_, err = r.Next()
	require.ErrorIs(t, err, io.EOF)

	write(t, w, " and half\n")
	writeLines(t, w, 10, 1000)
	half, err := r.Next()
	require.NoError(t, err)
	require.Equal(t, "half and half", string(half.Text), "its file is still open")
	var got bytes.Buffer
	var skipped int64
	for {
		line, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		if n := r.Skipped(); n > 0 {
			require.Zero(t, skipped)
			skipped = n
			require.NotEqual(t, numbered(10, 11), string(line.Text)+"\n")
		}
		got.Write(append(line.Text, '\n'))
	}
	require.Positive(t, skipped)
	require.Equal(t, int64(9900), int64(got.Len())+skipped)
	require.True(t, strings.HasSuffix(got.String(), numbered(990, 1000)))
}

// A stream that is removed and begun anew is read from its new beginning.
func TestFollowAnew(t *testing.T) {
	for name, again := range map[string]string{"shorter": "new\n", "longer": strings.Repeat("new\n", 100)} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "x.out")
			w := openWriter(t, path, logfile.Limits{})
			write(t, w, "old line\nold half")
			r, err := logfile.Open(t.Context(), path, logfile.Options{Follow: true})
			require.NoError(t, err)
			defer r.Close()
			next := func() string {
				line, err := r.Next()
				require.NoError(t, err)
				return string(line.Text)
			}
			require.Equal(t, "old line", next())
			_, err = r.Next()
			require.ErrorIs(t, err, io.EOF)

			require.NoError(t, w.Close())
			require.NoError(t, logfile.Remove(path))
			_, err = r.Next()
			require.ErrorIs(t, err, io.EOF)
			w = openWriter(t, path, logfile.Limits{})
			write(t, w, again)
			require.NoError(t, w.Close())
			require.Equal(t, "old half", next())
			for range strings.Count(again, "\n") {
				require.Equal(t, "new", next())
			}
			_, err = r.Next()
			require.ErrorIs(t, err, io.EOF)
			require.Zero(t, r.Skipped(), "nothing was lost")
		})
	}
}

// Without following, what comes meanwhile does not matter: nor does it make
// reading a flood endless.
func TestReadWhileWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.out")
	w := openWriter(t, path, logfile.Limits{Size: 1000, Files: 3})
	defer w.Close()
	writeLines(t, w, 0, 150)
	r, err := logfile.Open(t.Context(), path, logfile.Options{})
	require.NoError(t, err)
	defer r.Close()
	writeLines(t, w, 150, 1000)
	got, err := io.ReadAll(r)
	require.NoError(t, err)
	require.Equal(t, numbered(0, 150), string(got))
}

// A line may be as long as it likes.
func TestLongLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.out")
	w := openWriter(t, path, logfile.Limits{Size: 4 << 20})
	defer w.Close()
	long := strings.Repeat("0123456789\x00\x1b", 200_000) // 2.4 MB
	want := "a\n" + long + "\nb\n" + long
	write(t, w, want)
	r, err := logfile.Open(t.Context(), path, logfile.Options{})
	require.NoError(t, err)
	defer r.Close()
	var got strings.Builder
	for {
		line, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		require.LessOrEqual(t, len(line.Text), 64<<10)
		got.Write(line.Text)
		if !line.Open {
			got.WriteByte('\n')
		}
	}
	require.Equal(t, len(want), got.Len())
	require.True(t, want == got.String(), "byte for byte")
	require.True(t, "b\n"+long == read(t, path, logfile.Options{Tail: 2}))
}

// A reader ends with its context, with what came before.
func TestFollowEnds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.out")
	w := openWriter(t, path, logfile.Limits{})
	defer w.Close()
	write(t, w, "line\nhalf")
	ctx, cancel := context.WithCancel(t.Context())
	r, err := logfile.Open(ctx, path, logfile.Options{Follow: true})
	require.NoError(t, err)
	defer r.Close()
	cancel()
	got, err := io.ReadAll(r)
	require.NoError(t, err)
	require.Equal(t, "line\nhalf", string(got))
}

// Whatever an index says, the bytes are those that were written.
func FuzzIndex(f *testing.F) {
	f.Add([]byte("a\nb\n"), bytes.Join([][]byte{entry(0, 5), entry(2, 9)}, nil), int64(7))
	f.Add([]byte("a\nb"), bytes.Join([][]byte{entry(3, 5), entry(-1, 9), {1, 2}}, nil), int64(5))
	f.Add([]byte(""), bytes.Join([][]byte{entry(1<<62, -1), entry(0, 9)}, nil), int64(0))
	f.Fuzz(func(t *testing.T, data, index []byte, at int64) {
		path := filepath.Join(t.TempDir(), "x.out")
		require.NoError(t, os.WriteFile(path, data, 0o600))
		require.NoError(t, os.WriteFile(path+".0.index", index, 0o600))
		require.Equal(t, string(data), read(t, path, logfile.Options{}))

		when := time.Unix(0, at)
		var early, late []byte
		early = []byte(read(t, path, logfile.Options{Until: when}))
		late = []byte(read(t, path, logfile.Options{Since: when}))
		require.True(t, bytes.HasPrefix(data, early))
		require.True(t, bytes.HasSuffix(data, late))

		w, err := logfile.OpenWriter(path, logfile.Limits{})
		require.NoError(t, err)
		_, err = w.Write([]byte("more\n"))
		require.NoError(t, err)
		require.NoError(t, w.Close())
		require.Equal(t, string(data)+"more\n", read(t, path, logfile.Options{}))
	})
}

func BenchmarkRead(b *testing.B) {
	path := filepath.Join(b.TempDir(), "x.out")
	w := openWriter(b, path, logfile.Limits{})
	write(b, w, strings.Repeat("a line as long as lines are when somebody writes them down\n", 100_000))
	require.NoError(b, w.Close())
	end, err := logfile.End(path)
	require.NoError(b, err)
	b.SetBytes(end)
	for b.Loop() {
		r, err := logfile.Open(b.Context(), path, logfile.Options{})
		if err != nil {
			b.Fatal(err)
		}
		for err == nil {
			_, err = r.Next()
		}
		if !errors.Is(err, io.EOF) {
			b.Fatal(err)
		}
		if err := r.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
