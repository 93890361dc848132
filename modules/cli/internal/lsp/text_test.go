package lsp

import (
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestPositions(t *testing.T) {
	text := "a🦀é\r\nb\rc\n\nd"
	for offset, want := range map[int]struct{ utf8, utf16 position }{
		0:  {position{0, 0}, position{0, 0}},
		1:  {position{0, 1}, position{0, 1}},
		5:  {position{0, 5}, position{0, 3}},
		7:  {position{0, 7}, position{0, 4}},
		9:  {position{1, 0}, position{1, 0}},
		10: {position{1, 1}, position{1, 1}},
		11: {position{2, 0}, position{2, 0}},
		13: {position{3, 0}, position{3, 0}},
		15: {position{4, 1}, position{4, 1}},
	} {
		d := &document{text: []byte(text)}
		require.Equal(t, want.utf8, d.position(utf8Encoding, offset), offset)
		require.Equal(t, want.utf16, d.position(utf16Encoding, offset), offset)
		require.Equal(t, offset, d.offset(utf8Encoding, want.utf8))
		require.Equal(t, offset, d.offset(utf16Encoding, want.utf16))
	}
	d := &document{text: []byte(text)}
	for _, c := range []struct {
		e    encoding
		p    position
		want int
	}{
		{utf16Encoding, position{0, 2}, 1},          // inside of the surrogate pair
		{utf8Encoding, position{0, 3}, 1},           // inside of the character
		{utf16Encoding, position{0, 99}, 7},         // not into the next line
		{utf16Encoding, position{0, 1<<32 - 1}, 7},  //
		{utf16Encoding, position{99, 0}, len(text)}, //
		{utf8Encoding, position{1<<32 - 1, 3}, len(text)},
		{utf8Encoding, position{3, 5}, 13},
	} {
		require.Equal(t, c.want, d.offset(c.e, c.p), "%+v", c)
	}
	require.Equal(t, position{4, 1}, d.position(utf16Encoding, 99))
	require.Equal(t, position{0, 0}, d.position(utf16Encoding, -1))
}

// FuzzPositions: a place at the start of a character survives the way there and
// back, and counts as the standard library does.
func FuzzPositions(f *testing.F) {
	f.Add("a🦀é\r\nb\rc\n\nd", 5)
	f.Add("\r\r\n\n\xff", 1)
	f.Fuzz(func(t *testing.T, text string, offset int) {
		offset = max(0, min(offset, len(text)))
		for offset < len(text) && !utf8.RuneStart(text[offset]) {
			offset++
		}
		if !utf8.ValidString(text) || offset > 0 && offset < len(text) && text[offset-1:offset+1] == "\r\n" {
			return // between the two there is no place
		}
		line := text[strings.LastIndexAny(text[:offset], "\r\n")+1 : offset]
		for e, want := range map[encoding]int{utf8Encoding: len(line), utf16Encoding: len(utf16.Encode([]rune(line)))} {
			d := &document{text: []byte(text)}
			p := d.position(e, offset)
			require.EqualValues(t, want, p.Character)
			require.Equal(t, offset, d.offset(e, p))
		}
	})
}

func TestChanged(t *testing.T) {
	d := &document{text: []byte("one 🦀\r\ntwo\r\nthree")}
	got := d.changed(utf16Encoding, []contentChange{
		{Range: &textRange{position{0, 4}, position{0, 6}}, Text: "crab"},
		{Range: &textRange{position{1, 3}, position{2, 0}}, Text: ""},
		{Range: &textRange{position{1, 9}, position{1, 99}}, Text: "!"},
		{Range: &textRange{position{1, 3}, position{1, 0}}, Text: "2, "},
	})
	require.Equal(t, "one crab\r\n2, three!", string(got))
	require.Equal(t, "one 🦀\r\ntwo\r\nthree", string(d.text))
	got = d.changed(utf16Encoding, []contentChange{{Text: "new"}, {Range: &textRange{position{0, 3}, position{0, 3}}, Text: "er"}})
	require.Equal(t, "newer", string(got))
	require.Equal(t, string(d.text), string(d.changed(utf16Encoding, nil)))
}

func TestURIs(t *testing.T) {
	require.Equal(t, "untitled:Untitled-1", pathOf("untitled:Untitled-1"))
	require.Equal(t, "http://x/y", pathOf("http://x/y"))
	require.Equal(t, "%zz", pathOf("%zz"))
	path := filepath.Join(t.TempDir(), "a b", "ü#?%.ctst")
	require.Equal(t, path, pathOf(uriOf(path)))
	require.NotContains(t, uriOf(path), " ")
	if runtime.GOOS == "windows" {
		require.Equal(t, `C:\x\y.ctst`, pathOf("file:///c%3A/x/y.ctst"))
		require.Equal(t, "file:///C:/x/y.ctst", uriOf(`C:\x\y.ctst`))
		require.Equal(t, `\\host\share\y.ctst`, pathOf("file://host/share/y.ctst"))
		return
	}
	require.Equal(t, "/x/y.ctst", pathOf("file:///x/z/../y.ctst"))
}

func TestDifference(t *testing.T) {
	s := &server{encode: utf16Encoding}
	for _, c := range []struct{ old, new string }{
		{"a\nb\nc\n", "a\nB\nc\n"},
		{"a\nb\nc\n", "a\nc\n"},
		{"a\n", "a\n\n\nb\n"},
		{"", "a\n"},
		{"a", ""},
		{"x x\nx x\n", "x\nx\n"},
		{"a\n\n\n\na\n", "a\n\na\n"},
		{"é🦀\r\nb", "é🦀\nb"},
	} {
		d := &document{text: []byte(c.old)}
		e := s.difference(d, []byte(c.new))
		got := d.changed(utf16Encoding, []contentChange{{Range: &e.Range, Text: e.NewText}})
		require.Equal(t, c.new, string(got))
	}
	d := &document{text: []byte("a\nb\nc\n")}
	require.Equal(t, textEdit{textRange{position{1, 0}, position{2, 0}}, "B\n"}, s.difference(d, []byte("a\nB\nc\n")))
}

// A file may be one line: nothing may count through it for every place.
func BenchmarkOneLine(b *testing.B) {
	d := &document{path: "/x.ctst", text: []byte(strings.Repeat("COMPONENT a { image = \"é\" } ", 100_000))}
	s := &server{encode: utf16Encoding}
	for b.Loop() {
		if len(s.symbolTree(d, d.parsed().Symbols())) != 100_000 {
			b.Fatal("too few")
		}
	}
}
