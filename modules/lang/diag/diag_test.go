package diag_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/lang/token"
)

func at(src, text string) token.Range {
	i := strings.Index(src, text)
	start := token.Pos{Offset: i, Line: 1 + strings.Count(src[:i], "\n"), Column: 1 + len([]rune(src[strings.LastIndexByte(src[:i], '\n')+1:i]))}
	end := start
	end.Offset += len(text)
	end.Column += len([]rune(text))
	return token.Range{File: "stack.ctst", Start: start, End: end}
}

func printed(t *testing.T, src string, l diag.List, opts diag.PrintOptions) string {
	t.Helper()
	var out bytes.Buffer
	require.NoError(t, diag.Print(&out, l, func(name string) ([]byte, error) {
		if name == "stack.ctst" {
			return []byte(src), nil
		}
		return nil, fs.ErrNotExist
	}, opts))
	return out.String()
}

func TestPrint(t *testing.T) {
	src := strings.Repeat("\n", 13) + "    imgae = \"tar://api.tar\"\n"
	d := diag.Diagnostic{Code: diag.UnknownProperty, Summary: `unknown property "imgae"`, Suggestion: `did you mean "image"?`, Range: at(src, "imgae")}
	require.Equal(t, `error[CT204]: unknown property "imgae"
  --> stack.ctst:14:5
   |
14 |     imgae = "tar://api.tar"
   |     ^^^^^ did you mean "image"?
`, printed(t, src, diag.List{d}, diag.PrintOptions{}))
	require.Contains(t, printed(t, src, diag.List{d}, diag.PrintOptions{Color: true}), "\x1b[1;31merror[CT204]\x1b[0m")
	require.Empty(t, printed(t, src, nil, diag.PrintOptions{}))
}

func TestPrintForeignText(t *testing.T) {
	for _, c := range []struct{ name, src, mark, line, pointer string }{
		{"tab", "\tab", "b", "1 |     ab", "  |      ^"},
		{"escape sequence", "a\x1b[31mb", "b", `1 | a\x1b[31mb`, "  |          ^"},
		{"bidi", "\u202eab", "b", `1 | \u202eab`, "  |        ^"},
		{"invalid", "\xffab", "b", `1 | \xffab`, "  |      ^"},
		{"wide", "漢字ab", "b", "1 | 漢字ab", "  |      ^"},
		{"combining", "e\u0301ab", "b", "1 | e\u0301ab", "  |   ^"},
		{"carriage return", "ab\r\nc", "b", "1 | ab", "  |  ^"},
		{"byte order mark", "\uFEFFab", "b", "1 | ab", "  |  ^"},
		{"over the line's end", "ab\ncd", "b\nc", "1 | ab", "  |  ^"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := printed(t, c.src, diag.List{{Code: "CT1", Summary: "x\x1b[2Jy", Range: at(c.src, c.mark)}}, diag.PrintOptions{})
			lines := strings.Split(got, "\n")
			require.Equal(t, `error[CT1]: x\x1b[2Jy`, lines[0])
			require.Equal(t, c.line, lines[3])
			require.Equal(t, c.pointer, lines[4])
		})
	}
}

func TestPrintLongLine(t *testing.T) {
	src := strings.Repeat("é", 100_000) + "x" + strings.Repeat("z", 100_000)
	got := printed(t, src, diag.List{{Code: "CT1", Range: at(src, "x")}}, diag.PrintOptions{})
	require.Less(t, len(got), 1000)
	require.Contains(t, got, "éx")
	require.Contains(t, got, "xz")
	require.Contains(t, got, "…")
}

func TestPrintWithoutText(t *testing.T) {
	r := token.Range{File: "gone.ctst", Start: token.Pos{Offset: 900, Line: 3, Column: 4}, End: token.Pos{Offset: 901, Line: 3, Column: 5}}
	got := printed(t, "", diag.List{{Code: "CT1", Summary: "s", Suggestion: "mend", Detail: "a\nb", Range: r}, {Code: "CT2", Summary: "no place", Severity: diag.Warning}}, diag.PrintOptions{})
	require.Equal(t, "warning[CT2]: no place\n\nerror[CT1]: s\n --> gone.ctst:3:4\n  = mend\n  = a\n  = b\n", got)
	short := token.Range{File: "stack.ctst", Start: r.Start, End: r.End}
	require.NotPanics(t, func() { printed(t, "short", diag.List{{Code: "CT1", Range: short}}, diag.PrintOptions{}) })
}

func TestPrintStops(t *testing.T) {
	var l diag.List
	for i := range 33 {
		l = append(l, diag.Diagnostic{Code: "CT1", Summary: fmt.Sprint(i)})
	}
	l = append(l, diag.Diagnostic{Code: "CT2", Severity: diag.Warning, Summary: "w"})
	got := printed(t, "", l, diag.PrintOptions{})
	require.Equal(t, 20, strings.Count(got, "error[CT1]"))
	require.Equal(t, 1, strings.Count(got, "warning[CT2]"))
	require.True(t, strings.HasSuffix(got, "… and 13 more errors\n"), got)
}

func TestErr(t *testing.T) {
	warning := diag.Diagnostic{Code: "CT2", Severity: diag.Warning}
	require.NoError(t, diag.List{}.Err())
	require.NoError(t, diag.List{warning}.Err())
	broken := diag.Diagnostic{Code: "CT1", Summary: "is bad", Range: at("x", "x")}
	err := fmt.Errorf("validate: %w", diag.List{warning, broken}.Err())
	require.EqualError(t, err, "validate: stack.ctst:1:1: is bad")
	var list diag.Errors
	require.True(t, errors.As(err, &list))
	require.Len(t, list, 2)
	require.EqualError(t, diag.List{broken, broken}.Err(), "stack.ctst:1:1: is bad (and 1 more error)")
	require.EqualError(t, diag.List{broken, broken, broken}.Err(), "stack.ctst:1:1: is bad (and 2 more errors)")
}

func TestJSON(t *testing.T) {
	var none diag.List
	data, err := json.Marshal(none)
	require.NoError(t, err)
	require.Equal(t, "[]", string(data))
	l := diag.List{{Code: "CT204", Severity: diag.Warning, Summary: "s", Suggestion: "m", Range: at("ab", "b"), Related: []diag.Related{{Label: "l", Range: at("ab", "a")}}}}
	data, err = json.Marshal(l)
	require.NoError(t, err)
	require.JSONEq(t, `[{"code":"CT204","severity":"warning","summary":"s","suggestion":"m",
		"range":{"file":"stack.ctst","start":{"offset":1,"line":1,"column":2},"end":{"offset":2,"line":1,"column":3}},
		"related":[{"label":"l","range":{"file":"stack.ctst","start":{"offset":0,"line":1,"column":1},"end":{"offset":1,"line":1,"column":2}}}]}]`, string(data))
	var back diag.List
	require.NoError(t, json.Unmarshal(data, &back))
	require.Equal(t, l, back)
}

func TestSort(t *testing.T) {
	l := diag.List{{Code: "CT3", Range: at("ab", "b")}, {Code: "CT2", Range: at("ab", "a")}, {Code: "CT1", Range: at("ab", "b")}}
	l.Sort()
	require.Equal(t, []diag.Code{"CT2", "CT1", "CT3"}, []diag.Code{l[0].Code, l[1].Code, l[2].Code})
}

func TestNearest(t *testing.T) {
	names := []string{"image", "env", "command", "memory", "memory_swap", "port", "ports"}
	for word, want := range map[string]string{
		"imgae": "image", "Image": "image", "comand": "command", "memroy": "memory", "memory-swap": "memory_swap", "enw": "env", "prots": "ports",
		"potr": "port", "xyz": "", "": "", "zebra": "", strings.Repeat("image", 1000): "",
	} {
		require.Equal(t, want, diag.Nearest(word, names), word)
	}
	require.Empty(t, diag.Nearest("image", []string{"image"}), "a word is not near itself")
	require.Empty(t, diag.Nearest("b", []string{"a", "ab"}), "with all letters wrong nothing is near")
}

// Every code stands once in the table, with its group's digit and a meaning.
func TestCodes(t *testing.T) {
	for code, meaning := range diag.Meanings() {
		require.Regexp(t, `^CT[1-6]\d\d$`, string(code))
		require.NotEmpty(t, meaning, code)
	}
	require.Len(t, diag.Codes(), len(diag.Meanings()))
}
