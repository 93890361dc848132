package editor_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/lang/editor"
	"github.com/containust/containust/modules/lang/parser"
)

// FuzzEditor: any text is looked at from any cursor without a panic, every
// place is inside of its file, and a name that is changed is used afterwards
// where the old one was used before.
func FuzzEditor(f *testing.F) {
	archives, err := filepath.Glob("../specsuite/testdata/*.txtar")
	require.NoError(f, err)
	require.NotEmpty(f, archives)
	for _, name := range archives {
		archive, err := txtar.ParseFile(name)
		require.NoError(f, err)
		for _, file := range archive.Files {
			if filepath.Ext(file.Name) == ".ctst" {
				f.Add(string(file.Data), len(file.Data)/2)
			}
		}
	}
	f.Add(shop, 300)
	f.Add("COMPONENT a { env = { A = \"${d\\u{62}.host}\" } }", 34)
	f.Add("IMPORT \"app.ctst\"\nCOMPONENT a FROM app(x = 1)\nCONNECT a", 40)
	f.Fuzz(func(t *testing.T, text string, offset int) {
		v, _ := view(t, "§")
		file := editor.New("app.ctst", []byte(text))
		open := v.Open
		v.File = file
		v.Open = func(name string) *editor.File {
			if name == file.Name {
				return file
			}
			return open(name)
		}
		look(t, v, offset)
		look(t, v, len(text))
	})
}

func look(t *testing.T, v editor.View, offset int) {
	cursor := max(0, min(offset, len(v.File.Text)))
	c := v.Complete(offset)
	require.True(t, 0 <= c.Start && c.Start <= cursor && cursor <= c.End && c.End <= len(v.File.Text), "%d in %d-%d", cursor, c.Start, c.End)
	require.NotContains(t, string(v.File.Text[c.Start:c.End]), "\n")
	for _, o := range c.List {
		require.NotEmpty(t, o.Text)
		require.True(t, 0 <= o.Cursor && o.Cursor <= len(o.Text))
	}
	inside := func(start, end int) {
		require.True(t, 0 <= start && start <= end && end <= len(v.File.Text), "%d-%d", start, end)
	}
	if h, ok := v.Hover(offset); ok {
		inside(h.Range.Start.Offset, h.Range.End.Offset)
	}
	if r, ok := v.Definition(offset); ok {
		require.NotNil(t, v.Open(r.File))
	}
	for _, s := range v.File.Symbols() {
		inside(s.Range.Start.Offset, s.Range.End.Offset)
		require.True(t, s.Range.Start.Offset <= s.Select.Start.Offset && s.Select.End.Offset <= s.Range.End.Offset, "%+v", s)
	}
	v.File.Imports()
	v.File.Library()
	for _, r := range v.References(offset, nil) {
		inside(r.Start.Offset, r.End.Offset)
	}
	renamed(t, v, cursor)
}

func renamed(t *testing.T, v editor.View, cursor int) {
	r, err := v.Renameable(cursor)
	if err != nil {
		require.ErrorIs(t, err, editor.ErrNoRename)
		return
	}
	name := "renamed"
	for strings.Contains(string(v.File.Text), name) {
		name += "d"
	}
	edits, err := v.Rename(cursor, name, nil)
	if err != nil {
		return
	}
	_, before := parser.Parse("app.ctst", v.File.Text)
	own := edits[:0]
	first := -1
	for _, e := range edits {
		if e.Range.File != v.File.Name {
			continue
		}
		own = append(own, e)
		if at := e.Range.Start.Offset; first < 0 || at < first {
			first = at
		}
	}
	text := apply(t, v, own)[v.File.Name]
	// What replaces text that the parser had to mend may lead it elsewhere.
	if before.HasErrors() || len(own) == 0 {
		return
	}
	_, after := parser.Parse("app.ctst", []byte(text))
	require.False(t, after.HasErrors(), "%v\n%s", after, text)
	again := v
	again.File = editor.New(v.File.Name, []byte(text))
	at := first + strings.Index(text[first:], name)
	got := again.References(at, nil)
	require.Len(t, got, len(v.References(cursor, nil))+paths(own), "%s\n%s", fmt.Sprint(r), text)
}

// paths is how many edits add an AS behind the path of an import, which is then
// a use beside it.
func paths(edits []editor.Edit) int {
	n := 0
	for _, e := range edits {
		if strings.HasPrefix(e.Text, " AS ") {
			n++
		}
	}
	return n
}

// large is a file of 10,000 components with their connections.
func large() string {
	var b strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&b, "COMPONENT component-%d {\n    image = \"file://./root\"\n    port  = %d\n    env   = { NAME = \"${self.name}\" }\n}\n", i, 1+i%60000)
	}
	for i := 1; i < 10_000; i++ {
		fmt.Fprintf(&b, "CONNECT component-%d -> component-%d\n", i, i/2)
	}
	return b.String()
}

// Each round is what one key costs: the new text is read, then completed.
func BenchmarkComplete(b *testing.B) {
	for name, text := range map[string]string{
		"connect":   large() + "CONNECT component-§",
		"reference": large() + "COMPONENT x { env = { A = \"${§\" } }",
		"variable":  large() + "LET t = \"${env.T}\"\nCOMPONENT x { env = { A = \"${env.§\" } }",
		"property":  strings.Replace(large(), "component-5000 {\n", "component-5000 {\n    §\n", 1),
		"4MiB":      "LET big = \"" + strings.Repeat("x", parser.MaxBytes-100) + "\"\nCOMPONENT a {\n  §\n",
	} {
		b.Run(name, func(b *testing.B) {
			before, after, _ := strings.Cut(text, "§")
			b.ReportAllocs()
			for b.Loop() {
				v := editor.View{File: editor.New("app.ctst", []byte(before+after))}
				if len(v.Complete(len(before)).List) == 0 {
					b.Fatal("nothing is offered")
				}
			}
		})
	}
}

func BenchmarkRename(b *testing.B) {
	v := editor.View{File: editor.New("app.ctst", []byte(large()))}
	for b.Loop() {
		if edits, err := v.Rename(len("COMPONENT c"), "other", nil); err != nil || len(edits) != 2 {
			b.Fatal(len(edits), err)
		}
	}
}

func TestOneOfMany(t *testing.T) {
	text := large() + "CONNECT "
	c := editor.View{File: editor.New("app.ctst", []byte(text))}.Complete(len(text))
	require.Len(t, c.List, 500)
	require.True(t, c.Incomplete)
	text += "component-9999"
	c = editor.View{File: editor.New("app.ctst", []byte(text))}.Complete(len(text))
	require.Equal(t, []string{"component-9999"}, labels(c))
	require.False(t, c.Incomplete)
}
