package logfile_test

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/sdk/logfile"
)

func TestOpen(t *testing.T) {
	long := strings.Repeat("x", 200<<10)
	for name, tt := range map[string]struct {
		text string
		opts logfile.Options
		want string
	}{
		"all":               {"a\nb\nc\n", logfile.Options{}, "a\nb\nc\n"},
		"tail":              {"a\nb\nc\n", logfile.Options{Tail: 2}, "b\nc\n"},
		"tail, open end":    {"a\nb\nc", logfile.Options{Tail: 2}, "b\nc"},
		"tail of less":      {"a\nb\n", logfile.Options{Tail: 5}, "a\nb\n"},
		"tail, empty lines": {"a\n\n\n", logfile.Options{Tail: 2}, "\n\n"},
		"tail, long lines":  {"a\n" + long + "\n" + long + "\n", logfile.Options{Tail: 2}, long + "\n" + long + "\n"},
		"empty":             {"", logfile.Options{Tail: 3}, ""},
		"from":              {"a\nb\n", logfile.Options{From: 2}, "b\n"},
		"from beyond":       {"a\n", logfile.Options{From: 9}, "a\n"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "log")
			require.NoError(t, os.WriteFile(path, []byte(tt.text), 0o600))
			r, err := logfile.Open(t.Context(), path, tt.opts)
			require.NoError(t, err)
			got, err := io.ReadAll(r)
			require.NoError(t, err)
			require.NoError(t, r.Close())
			require.Equal(t, tt.want, string(got))
		})
	}
	_, err := logfile.Open(t.Context(), filepath.Join(t.TempDir(), "none"), logfile.Options{})
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestFollow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan string, 1)
	go func() {
		r, err := logfile.Open(ctx, path, logfile.Options{Follow: true}) // before there is a file
		if err != nil {
			done <- err.Error()
			return
		}
		defer r.Close()
		text, err := io.ReadAll(r)
		if err != nil {
			done <- err.Error()
			return
		}
		done <- string(text)
	}()
	time.Sleep(10 * time.Millisecond)
	f, err := os.Create(path)
	require.NoError(t, err)
	for _, part := range []string{"one\n", "two\n", "last"} {
		_, err = f.WriteString(part)
		require.NoError(t, err)
		time.Sleep(80 * time.Millisecond)
	}
	require.NoError(t, f.Close())
	cancel()
	require.Equal(t, "one\ntwo\nlast", <-done)
}
