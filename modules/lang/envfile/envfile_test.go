package envfile_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/lang/envfile"
)

func lookup(name string) (string, bool) {
	if name == "USER" {
		return "ada", true
	}
	return "", false
}

func TestRead(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	first := write("first.env", "# a comment\nA=1\nB=\"two words\" # and more\nexport C='$A'\n")
	second := write("second.env", "A=3\r\nD=${USER}-$A\nE=${NONE:-none}\nUSER\n")
	vars, err := envfile.Read([]string{first, second}, lookup)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"A": "3", "B": "two words", "C": "$A", "D": "ada-3", "E": "none", "USER": "ada"}, vars)

	vars, err = envfile.Read(nil, nil)
	require.NoError(t, err)
	require.NotNil(t, vars)

	bad := write("bad.env", "A=1\nB-*=2\n")
	_, err = envfile.Read([]string{bad}, nil)
	require.EqualError(t, err, "read variables: "+bad+`: line 2: unexpected character "*" in variable name "B-*=2"`)
	_, err = envfile.Read([]string{filepath.Join(dir, "none.env")}, nil)
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = envfile.Read([]string{dir}, nil)
	require.ErrorContains(t, err, "not a regular file")
	_, err = envfile.Read([]string{write("large.env", strings.Repeat("#\n", 4<<20))}, nil)
	require.ErrorContains(t, err, "large.env: it is larger than 1 MiB")
}

// Ten of ten of ten …: a small file shall not become a large memory.
func TestParseIsBounded(t *testing.T) {
	text := "A0=xxxxxxxxxx\n"
	for i := range 12 {
		text += fmt.Sprintf("A%d=%s\n", i+1, strings.Repeat(fmt.Sprintf("$A%d", i), 10))
	}
	err := envfile.Parse([]byte(text), "", map[string]string{}, nil)
	require.ErrorContains(t, err, "multiply to more than 16 MiB")

	err = envfile.Parse([]byte("A="+strings.Repeat("${B:-x}", 5000)), "", map[string]string{}, nil)
	require.EqualError(t, err, "it has more than 1000 $")
	err = envfile.Parse([]byte("A="+strings.Repeat("${", 1000)), "", map[string]string{}, nil)
	require.Error(t, err)
	require.Less(t, len(err.Error()), 200)
}

// Whatever stands in a file: it is read in bounds or refused, the same each time.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"A=1\nB=$A", "export A='x", "A=\"\\n\\052\" #", "A: b", "\ufeffA=${B:-${C:?no}}", "A\n[x]=1", "=\n", "A=$A$A\nA=$A$A", "A=\"${", "#",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		vars, again := map[string]string{}, map[string]string{}
		err := envfile.Parse(text, "", vars, lookup)
		if err != nil {
			require.Less(t, len(err.Error()), 200)
		}
		_ = envfile.Parse(text, "", again, lookup)
		require.Equal(t, vars, again)
		total := 0
		for name, value := range vars {
			total += len(name) + len(value)
		}
		require.Less(t, total, 32<<20+2*len(text))
	})
}
