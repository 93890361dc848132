package sdk_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/sdk"
	"github.com/containust/containust/modules/sdk/logfile"
	"github.com/containust/containust/modules/sdk/state"
)

// written is what a component wrote at a time, in seconds.
type written struct {
	component string
	stderr    bool
	at        int
	text      string
}

// logged returns the engine of a project, of which nothing runs, whose
// components have written what is given.
func logged(t *testing.T, all ...written) *sdk.Engine {
	t.Helper()
	e := engine(t, `COMPONENT a { image = "file://./root" }`)
	dir := e.Project().StateDir
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "logs"), 0o700))
	st := &state.State{Project: e.Project().Project, Components: map[string]*state.Component{
		"silent": {Status: container.StatusCreated},
	}}
	for _, one := range all {
		st.Components[one.component] = &state.Component{Status: container.StatusExited}
		w, err := logfile.OpenWriter(logfile.Path(dir, one.component, one.stderr), logfile.Limits{})
		require.NoError(t, err)
		require.NoError(t, w.Begin(time.Unix(int64(one.at), 0)))
		n, err := w.Data().WriteString(one.text)
		require.NoError(t, err)
		require.NoError(t, w.Added(int64(n)))
		require.NoError(t, w.Close())
	}
	require.NoError(t, state.NewStore(dir).Save(st))
	return e
}

func TestLogs(t *testing.T) {
	e := logged(t,
		written{"b", false, 1, "b1\n"}, written{"a", false, 2, "a2\na2 too\n"}, written{"a", true, 3, "A3\n"},
		written{"a", false, 4, "a4, "}, written{"b", false, 5, "b5\n"}, written{"a", false, 6, "to 6\n"},
		written{"a", true, 7, "A7, open"}, written{"b", true, 7, "B7\n"},
	)
	for name, tt := range map[string]struct {
		opts sdk.LogOptions
		want string
	}{
		"all":             {sdk.LogOptions{}, "b1 a2 a2_too A3 a4,_to_6 b5 A7,_open+ B7"},
		"names":           {sdk.LogOptions{Names: []string{"b"}}, "b1 b5 B7"},
		"stdout":          {sdk.LogOptions{Stdout: true}, "b1 a2 a2_too a4,_to_6 b5"},
		"stderr":          {sdk.LogOptions{Stderr: true}, "A3 A7,_open+ B7"},
		"both":            {sdk.LogOptions{Stdout: true, Stderr: true}, "b1 a2 a2_too A3 a4,_to_6 b5 A7,_open+ B7"},
		"tail":            {sdk.LogOptions{Tail: 2}, "a4,_to_6 b5 A7,_open+ B7"},
		"tail, one":       {sdk.LogOptions{Tail: 1}, "A7,_open+ B7"},
		"tail, a stream":  {sdk.LogOptions{Tail: 1, Stdout: true}, "a4,_to_6 b5"},
		"tail of less":    {sdk.LogOptions{Tail: 9, Names: []string{"b"}}, "b1 b5 B7"},
		"since":           {sdk.LogOptions{Since: time.Unix(5, 0)}, "b5 A7,_open+ B7"},
		"until":           {sdk.LogOptions{Until: time.Unix(2, 0)}, "b1 a2 a2_too"},
		"after":           {sdk.LogOptions{After: sdk.LogPosition{"a.out": 3, "b.out": 3}}, "a2_too A3 a4,_to_6 b5 A7,_open+ B7"},
		"follow":          {sdk.LogOptions{Follow: true}, "b1 a2 a2_too A3 a4,_to_6 b5 B7 A7,_open+"}, // it might have gone on,
		"follow the tail": {sdk.LogOptions{Follow: true, Tail: 1}, "B7 A7,_open+"},
		"silent":          {sdk.LogOptions{Names: []string{"silent"}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			more := false
			require.NoError(t, e.Logs(t.Context(), tt.opts, func(line sdk.LogLine) error {
				text := strings.ReplaceAll(string(line.Text), " ", "_")
				require.Equal(t, strings.ToLower(text[:1]), line.Component)
				require.Equal(t, text[0] < 'a', line.Stderr)
				require.Equal(t, fmt.Sprint(line.Time.Unix()), text[1:2])
				if line.Open {
					text += "+"
				}
				more = line.More
				got = append(got, text)
				return nil
			}))
			require.Equal(t, tt.want, strings.Join(got, " "))
			require.False(t, more, "nothing follows the last one")
		})
	}

	position, err := e.LogPosition()
	require.NoError(t, err)
	require.Equal(t, sdk.LogPosition{"a.out": 19, "a.err": 11, "b.out": 6, "b.err": 3}, position)
	enough := errors.New("enough")
	for _, follow := range []bool{false, true} {
		require.ErrorIs(t, e.Logs(t.Context(), sdk.LogOptions{Follow: follow}, func(sdk.LogLine) error { return enough }), enough)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, e.Logs(gone, sdk.LogOptions{Follow: true}, func(sdk.LogLine) error { return nil }))
	require.ErrorContains(t, e.Logs(t.Context(), sdk.LogOptions{Names: []string{"c"}}, nil), `"c"`)
}

// A line that comes in pieces is not broken by a line of another that came
// between them.
func TestLogsKeepLongLines(t *testing.T) {
	piece := strings.Repeat("x", 64<<10)
	e := logged(t,
		written{"a", false, 1, piece}, written{"b", false, 2, "b\n"}, written{"a", false, 3, piece},
		written{"a", false, 4, "\nend\n"},
	)
	var got []string
	require.NoError(t, e.Logs(t.Context(), sdk.LogOptions{}, func(line sdk.LogLine) error {
		got = append(got, fmt.Sprint(line.Component, len(line.Text), line.Open))
		return nil
	}))
	require.Equal(t, []string{"a65536 true", "a65536 true", "a0 false", "b1 false", "a3 false"}, got)
}
