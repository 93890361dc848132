package integration

import (
	"bytes"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/lang/resolve"
	"github.com/containust/containust/modules/lang/schema"
	"github.com/containust/containust/modules/lang/specsuite"
	"github.com/containust/containust/modules/lang/token"
	"github.com/containust/containust/modules/sdk"
)

// The pages that are held to what the program does.
const (
	languagePage    = "../docs/language.md"
	diagnosticsPage = "../docs/diagnostics.md"
)

var update = flag.Bool("update", false, "rewrite what the tests write into docs")

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	require.NoError(t, err)
	return string(text)
}

// settle compares what a page says with what it must say, or writes it.
func settle(t *testing.T, name, got, want string) {
	t.Helper()
	if *update {
		require.NoError(t, os.WriteFile(name, []byte(want), 0o644))
		return
	}
	require.Equal(t, want, got, "%s is not what the program does; after a look: go test ./integration -run Docs -update", name)
}

var clauseMark = regexp.MustCompile(`(?m)^- \*\*\[([A-Z][0-9]+)\]\*\*`)

// Every clause of the page is shown by a case, or by the test that is named;
// and nothing shows a clause that the page does not have.
func TestDocsClauses(t *testing.T) {
	cases, err := specsuite.Cases()
	require.NoError(t, err)
	shown := map[string][]string{}
	for _, c := range cases {
		if len(c.Clauses) == 0 {
			t.Errorf("the case %s marks no clause", c.Name)
		}
		for _, clause := range c.Clauses {
			shown[clause] = append(shown[clause], c.Name)
		}
	}
	elsewhere := specsuite.ClausesWithoutCase()
	clauses := map[string]bool{}
	for _, m := range clauseMark.FindAllStringSubmatch(read(t, languagePage), -1) {
		clause := m[1]
		if clauses[clause] {
			t.Errorf("two clauses are called %s", clause)
		}
		clauses[clause] = true
		_, named := elsewhere[clause]
		switch {
		case !named && shown[clause] == nil:
			t.Errorf("no case shows the clause %s", clause)
		case named && shown[clause] != nil:
			t.Errorf("the clause %s has the case %s after all: it is no longer elsewhere", clause, shown[clause][0])
		}
	}
	require.NotEmpty(t, clauses)
	for clause, names := range shown {
		if !clauses[clause] {
			t.Errorf("the case %s shows the clause %s, which the page does not have", names[0], clause)
		}
	}
	for clause := range elsewhere {
		if !clauses[clause] {
			t.Errorf("the clause %s is tested elsewhere, and the page does not have it", clause)
		}
	}
}

// The tests that are said to show what no case can are there.
func TestDocsElsewhere(t *testing.T) {
	named := map[string]bool{}
	for _, e := range specsuite.ClausesWithoutCase() {
		named[e.Test] = true
	}
	for _, e := range specsuite.CodesWithoutCase() {
		named[e.Test] = true
	}
	delete(named, "")
	require.NotEmpty(t, named)
	require.NoError(t, filepath.WalkDir("../modules", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		for _, m := range testName.FindAllStringSubmatch(read(t, path), -1) {
			delete(named, m[1])
		}
		return nil
	}))
	require.Empty(t, named, "there are no such tests")
}

var testName = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)

// block is one fenced block of a page, or the text between two.
type block struct {
	fence string // "ctst templates/a.ctst"; empty for the text between
	body  string
	start int // line of the body
}

// blocks splits a page. Put together by join they are the page again.
func blocks(page string) []block {
	var all []block
	var b block
	open := false
	line := 0
	for text := range strings.Lines(page) {
		line++
		if fence, ok := strings.CutPrefix(text, "```"); ok {
			all = append(all, b)
			open = !open
			b = block{start: line + 1}
			if open {
				b.fence = strings.TrimSpace(fence)
			}
			continue
		}
		b.body += text
	}
	return append(all, b)
}

func join(all []block) string {
	var page strings.Builder
	for i, b := range all {
		switch {
		case i%2 == 1:
			page.WriteString("```" + b.fence + "\n" + b.body + "```\n")
		default:
			page.WriteString(b.body)
		}
	}
	return page.String()
}

// Every example of the page is a file that resolves without a word, or with
// exactly the words that stand below it.
func TestDocsExamples(t *testing.T) {
	page := read(t, languagePage)
	all := blocks(page)
	require.Equal(t, page, join(all))
	files := map[string]string{}
	examples := 0
	for i, b := range all {
		if i%2 == 0 {
			if strings.Contains("\n"+b.body, "\n## ") {
				clear(files)
			}
			continue
		}
		language, name, _ := strings.Cut(b.fence, " ")
		if language != "ctst" {
			continue
		}
		if name != "" {
			files[name] = b.body
			continue
		}
		examples++
		files["app.ctst"] = b.body
		got := printed(t, files)
		if i+2 < len(all) && all[i+2].fence == "console" && strings.TrimSpace(all[i+1].body) == "" {
			require.NotEmpty(t, got, "line %d: nothing is wrong with the example", b.start)
			all[i+2].body = got
			continue
		}
		require.Empty(t, got, "%s:%d", languagePage, b.start)
	}
	require.GreaterOrEqual(t, examples, 10)
	settle(t, languagePage, page, join(all))
}

// printed resolves app.ctst among the files, where no variable and every secret
// is set, and returns what a person reads about it.
func printed(t *testing.T, files map[string]string) string {
	t.Helper()
	source := func(name string) ([]byte, error) {
		if text, ok := files[name]; ok {
			return []byte(text), nil
		}
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	st, found := resolve.Load(t.Context(), "app.ctst", resolve.Options{
		ReadFile:     source,
		LookupSecret: func(string) (string, error) { return "x", nil },
	})
	require.Equal(t, found.HasErrors(), st == nil)
	var out bytes.Buffer
	require.NoError(t, diag.Print(&out, found, source, diag.PrintOptions{}))
	return out.String()
}

// The table of properties is that of the schema.
func TestDocsProperties(t *testing.T) {
	const begin, end = "<!-- properties: begin, written by the test from the table -->\n", "<!-- properties: end -->\n"
	page := read(t, languagePage)
	before, rest, ok := strings.Cut(page, begin)
	require.True(t, ok, "the page has no %q", begin)
	_, after, ok := strings.Cut(rest, end)
	require.True(t, ok, "the page has no %q", end)

	var table strings.Builder
	table.WriteString("| property | type | default | meaning |\n|---|---|---|---|\n")
	row := func(name string, p *schema.Property) {
		cell := strings.NewReplacer("|", `\|`, "<", "&lt;").Replace
		fmt.Fprintf(&table, "| `%s` | %s | %s | %s |\n", name, cell(p.Type.String()), cell(p.Default), cell(p.Doc))
	}
	for _, p := range schema.Properties() {
		row(p.Name, &p)
		for _, fields := range fieldsOf(p.Type) {
			for _, f := range fields {
				row(p.Name+"."+f.Name, &f)
			}
		}
	}
	settle(t, languagePage, page, before+begin+table.String()+end+after)
}

// fieldsOf returns the keys of every map that a value of the type may be.
func fieldsOf(t *schema.Type) [][]schema.Property {
	var all [][]schema.Property
	if t.Fields != nil {
		all = append(all, t.Fields)
	}
	for _, option := range t.Any {
		all = append(all, fieldsOf(option)...)
	}
	if t.Elem != nil {
		all = append(all, fieldsOf(t.Elem)...)
	}
	return all
}

// The grammar names every keyword, and no other word in upper case.
func TestDocsGrammar(t *testing.T) {
	for _, b := range blocks(read(t, languagePage)) {
		if b.fence != "ebnf" {
			continue
		}
		named := map[string]bool{}
		for _, m := range regexp.MustCompile(`"([A-Z]+)"`).FindAllStringSubmatch(b.body, -1) {
			named[m[1]] = true
		}
		require.ElementsMatch(t, token.Keywords(), slices.Collect(maps.Keys(named)))
		return
	}
	t.Fatal("the page has no grammar")
}

// groups are the parts of the page about diagnostics, by the first digit of the
// codes.
var groups = []struct{ digit, title string }{
	{"1", "Text and syntax"},
	{"2", "Properties and values"},
	{"3", "Imports, templates and references"},
	{"4", "Sources"},
	{"5", "Links and exposure"},
	{"6", "Environment, secrets and network"},
}

// The page about diagnostics has each code with its meaning and an example,
// which is what the smallest case that shows it prints.
func TestDocsDiagnostics(t *testing.T) {
	cases, err := specsuite.Cases()
	require.NoError(t, err)
	slices.SortStableFunc(cases, func(a, b specsuite.Case) int { return len(a.Want) - len(b.Want) })
	meanings := maps.Clone(diag.Meanings())
	maps.Copy(meanings, sdk.Meanings())
	codes := slices.Sorted(maps.Keys(meanings))

	var page strings.Builder
	page.WriteString(`# Diagnostics

The first line of a diagnostic has its severity, its code, which never changes, and
what is wrong; below it stand the place, the line with the text that is meant marked
by ` + "`^`" + `, and beside the mark or behind ` + "`=`" + ` how to mend it. ` + "`:::`" + ` is a second place that
explains the first, and only errors, not warnings, keep a file from being used.

How the language is meant is in [language.md](language.md). The examples come from
` + "`modules/lang/specsuite`" + `; a test writes this page.
`)
	left := len(codes)
	for _, g := range groups {
		fmt.Fprintf(&page, "\n## %s\n", g.title)
		var links []string
		var sections strings.Builder
		for _, code := range codes {
			if !strings.HasPrefix(string(code), "CT"+g.digit) {
				continue
			}
			left--
			links = append(links, fmt.Sprintf("[%s](#%s)", code, strings.ToLower(string(code))))
			fmt.Fprintf(&sections, "\n### %s\n\n%s.\n\n%s", code, upperFirst(meanings[code]), example(cases, code))
		}
		page.WriteString("\n" + strings.Join(links, " · ") + "\n" + sections.String())
	}
	require.Zero(t, left, "a code belongs to no group")
	var got string
	if text, err := os.ReadFile(diagnosticsPage); err == nil || !*update {
		require.NoError(t, err)
		got = string(text)
	}
	settle(t, diagnosticsPage, got, page.String())
}

func upperFirst(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// example is the first diagnostic with the code in the cases, or a sentence that
// says when it comes.
func example(cases []specsuite.Case, code diag.Code) string {
	for _, c := range cases {
		for text := range strings.SplitSeq(c.Want, "\n\n") {
			if strings.HasPrefix(text, "error["+string(code)+"]") || strings.HasPrefix(text, "warning["+string(code)+"]") {
				return "```text\n" + strings.TrimSuffix(text, "\n") + "\n```\n"
			}
		}
	}
	if _, ok := sdk.Meanings()[code]; ok {
		return "It comes from `ctst plan`, `ctst build` and `ctst run`, which look beyond the file.\n"
	}
	return "It comes when " + specsuite.CodesWithoutCase()[code].When + ".\n"
}
