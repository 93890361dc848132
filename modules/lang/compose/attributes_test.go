package compose

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"
)

// attributesOf lists what a type of compose-go holds, as paths of the table.
func attributesOf(t reflect.Type, path string) []string {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() == reflect.Map && (t.Elem().Kind() == reflect.Struct || t.Elem().Kind() == reflect.Pointer && t.Elem().Elem().Kind() == reflect.Struct) {
		return attributesOf(t.Elem(), dotted(path, "*"))
	}
	if t.Kind() != reflect.Struct {
		return []string{path}
	}
	var all []string
	for i := range t.NumField() {
		field := t.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		switch {
		case field.Anonymous:
			all = append(all, attributesOf(field.Type, path)...)
		case name == "-" || field.Name == "Extensions" || !field.IsExported():
		case name == "":
			all = append(all, attributesOf(field.Type, dotted(path, strings.ToLower(field.Name)))...)
		default:
			all = append(all, attributesOf(field.Type, dotted(path, name))...)
		}
	}
	return all
}

// TestTables: compose-go has no attribute that the tables do not know, and the
// tables have none that compose-go does not know.
func TestTables(t *testing.T) {
	project := []string{"include", "version"}
	for _, path := range attributesOf(reflect.TypeFor[types.Project](), "") {
		if !strings.HasPrefix(path, "services.") && !strings.HasPrefix(path, "jobs.") && !strings.HasPrefix(path, "models.") {
			project = append(project, path)
		}
	}
	// Content of secrets is what compose-go read; no file can have it.
	project = slices.DeleteFunc(project, func(path string) bool { return path == "secrets.*.content" })
	project = append(project, "services", "jobs", "models")
	service := slices.DeleteFunc(attributesOf(reflect.TypeFor[types.ServiceConfig](), ""), func(path string) bool { return path == "name" })

	for _, test := range []struct {
		name  string
		rows  []Attribute
		known []string
	}{{"service", serviceAttributes, service}, {"project", projectAttributes, project}} {
		t.Run(test.name, func(t *testing.T) {
			table := newTable(test.rows)
			require.Len(t, table.rows, len(test.rows), "an attribute stands twice")
			require.True(t, slices.IsSortedFunc(test.rows, func(a, b Attribute) int { return strings.Compare(a.Path, b.Path) }))
			used := map[string]bool{}
			for _, path := range test.known {
				row := path
				for row != "" && table.rows[row] == nil {
					row = row[:max(0, strings.LastIndexByte(row, '.'))]
				}
				require.NotEmpty(t, row, "%s: the table does not say what becomes of it", path)
				used[row] = true
			}
			for _, row := range test.rows {
				require.True(t, used[row.Path], "%s: compose-go does not have it", row.Path)
				require.True(t, row.Becomes != "" || row.Lost != "", row.Path)
			}
		})
	}
}

// TestGoldensHaveAll: every row of the tables stands in some golden, which
// shows what becomes of it.
func TestGoldensHaveAll(t *testing.T) {
	seen := map[*Attribute]bool{}
	service, project := newTable(serviceAttributes), newTable(projectAttributes)
	archives, err := filepath.Glob("testdata/*.txtar")
	require.NoError(t, err)
	for _, name := range archives {
		archive, err := txtar.ParseFile(name)
		require.NoError(t, err)
		options := optionsOf(contents(archive))
		for _, file := range options.files {
			see(t, service, project, contents(archive)[file], seen)
		}
	}
	for _, rows := range [][]Attribute{serviceAttributes, projectAttributes} {
		for i := range rows {
			require.True(t, seen[&rows[i]], "no golden has %s", rows[i].Path)
		}
	}
}

// see marks the rows of what a file has.
func see(t *testing.T, service, project table, text string, seen map[*Attribute]bool) {
	t.Helper()
	l := newLoader(t.Context(), "compose.yaml", Options{ReadFile: func(string) ([]byte, error) { return []byte(text), nil }})
	documents, err := l.parse("compose.yaml", &scope{})
	require.NoError(t, err)
	for _, m := range documents {
		// Before the long forms are made, in which these are not any more.
		if m.dict["include"] != nil {
			seen[project.rows["include"]] = true
		}
		for _, attributes := range m.section("services") {
			dict, _ := attributes.(map[string]any)
			if long, ok := dict["extends"].(map[string]any); ok {
				seen[service.rows["extends.file"]] = seen[service.rows["extends.file"]] || long["file"] != nil
			}
		}
		require.NoError(t, m.canonical())
		for _, attributes := range m.section("services") {
			service.walk(attributes, "", nil, func(f found) { seen[f.row] = true })
		}
		project.walk(m.dict, "", nil, func(f found) { seen[f.row] = true })
	}
}

// TestPage: the page's tables are those of the code.
func TestPage(t *testing.T) {
	const path = "../../../docs/compose.md"
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	page := text
	service, project := Attributes()
	for _, part := range []struct {
		name string
		rows []Attribute
	}{{"services", service}, {"project", project}} {
		start, end := []byte("<!-- table: "+part.name+" -->\n"), []byte("<!-- end -->")
		before, rest, found := bytes.Cut(page, start)
		require.True(t, found, part.name)
		_, after, found := bytes.Cut(rest, end)
		require.True(t, found, part.name)
		page = slices.Concat(before, start, []byte(pageTable(part.rows)), end, after)
	}
	if *update {
		require.NoError(t, os.WriteFile(path, page, 0o644))
		return
	}
	require.Equal(t, string(page), string(text))
}

func pageTable(rows []Attribute) string {
	var b strings.Builder
	b.WriteString("| attribute | becomes | lost |\n|---|---|---|\n")
	for _, row := range rows {
		becomes := row.Becomes
		if becomes == "" {
			becomes = "–"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", row.Path, strings.ReplaceAll(becomes, "|", `\|`), strings.ReplaceAll(row.Lost, "|", `\|`))
	}
	return b.String()
}
