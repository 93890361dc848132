package editor_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/lang/editor"
)

func TestRename(t *testing.T) {
	for _, c := range []struct {
		mark, name string
		want       map[string]string // old and new, for all occurrences in app.ctst
	}{
		{"CONNECT one", "first", map[string]string{"COMPONENT one,": "COMPONENT first,", "CONNECT one,": "CONNECT first,", "TO one": "TO first"}},
		{"${db", "store", map[string]string{"COMPONENT db": "COMPONENT store", "${db.host}:${db.port}": "${store.host}:${store.port}", "-> db": "-> store"}},
		{"let.tag", "v", map[string]string{"LET tag": "LET v", "let.tag": "let.v"}},
		{"LET tag", "env", map[string]string{"LET tag": "LET env", "let.tag": "let.env"}},
		{"param.level", "l", map[string]string{"(level:": "(l:", "param.level": "param.l", "(level =": "(l ="}},
		{"AS pg", "sql", map[string]string{"AS pg": "AS sql", "pg.server": "sql.server"}},
		{"FROM redis", "r", map[string]string{"\"redis.ctst\"": "\"redis.ctst\" AS r", "FROM redis": "FROM r"}},
	} {
		t.Run(c.mark, func(t *testing.T) {
			v, offset := at(t, c.mark, 1)
			edits, err := v.Rename(offset, c.name, nil)
			require.NoError(t, err)
			want := shop
			for from, to := range c.want {
				require.Contains(t, want, from)
				want = strings.ReplaceAll(want, from, to)
			}
			require.Equal(t, map[string]string{"app.ctst": want}, apply(t, v, edits))
			r, err := v.Renameable(offset)
			require.NoError(t, err)
			require.LessOrEqual(t, r.Start.Offset, offset)
		})
	}
	t.Run("across files", func(t *testing.T) {
		v, offset := at(t, "pg.server", 1)
		edits, err := v.Rename(offset, "postgres", nil)
		require.NoError(t, err)
		require.Equal(t, map[string]string{
			"app.ctst":                strings.ReplaceAll(shop, "pg.server", "pg.postgres"),
			"templates/postgres.ctst": strings.ReplaceAll(templates, "server(", "postgres("),
		}, apply(t, v, edits))
	})
	t.Run("written with an escape", func(t *testing.T) {
		v, offset := view(t, "COMPONENT d§b { env = { A = \"${d\\u{62}.host}\" } }")
		edits, err := v.Rename(offset, "x", nil)
		require.NoError(t, err)
		require.Equal(t, "COMPONENT x { env = { A = \"${x.host}\" } }", apply(t, v, edits)["app.ctst"])
	})
}

func TestRenameRefuses(t *testing.T) {
	for _, c := range []struct{ mark, name, want string }{
		{"${db", "cache", `a component is called "cache" already`},
		{"${db", "pg", `an import is called "pg" already`},
		{"${db", "self", "keeps the name"},
		{"${db", "localhost", "keeps the name"},
		{"${db", "CONNECT", "is a keyword"},
		{"${db", "a b", "is not a name"},
		{"${db", "", "is not a name"},
		{"${db", "a-", "is not a name"},
		{"${db", "é", "is not a name"},
		{"${db", " x", "is not a name"},
		{"${db", "x//", "is not a name"},
		{"${db", "Cache", "differ only in case"},
		{"${db", strings.Repeat("x", 64), "at most 63"},
		{"let.tag", "FROM", "is a keyword"},
		{"redis.ctst", "x", "can be renamed"},
		{"memory", "x", "can be renamed"},
		{"env.TAG", "x", "can be renamed"},
		{"self.host", "x", "can be renamed"},
		{"server(port", "name", `server has a parameter "name" already`},
		{"pg.server", "backup", `a component is called "backup" already`},
	} {
		t.Run(c.mark+" "+c.name, func(t *testing.T) {
			v, offset := at(t, c.mark, 1)
			_, err := v.Rename(offset, c.name, nil)
			require.ErrorContains(t, err, c.want)
		})
	}
	v, offset := view(t, "COMPONENT a {}\nCOMPONENT b {}\nCONNECT a§ -> b AS x")
	_, err := v.Rename(offset, "x", nil)
	require.ErrorContains(t, err, "behind AS")
	v, offset = view(t, "CONNECT gone§ -> b")
	_, err = v.Renameable(offset)
	require.ErrorIs(t, err, editor.ErrNoRename)
	v, offset = at(t, "${db", 1)
	edits, err := v.Rename(offset, "db", nil)
	require.NoError(t, err)
	require.Empty(t, edits)
}
