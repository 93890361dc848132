package integration

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/containust/containust/modules/lang/schema"
	"github.com/containust/containust/modules/lang/token"
)

const vscode = "../editors/vscode"

// rule is a rule of a TextMate grammar.
type rule struct {
	Include, Match, Begin, End string
	Patterns                   []rule
	Repository                 map[string]rule
}

func readJSON(t *testing.T, name string, v any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(vscode, name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// TestGrammarKnowsTheLanguage: what the grammar lists is what the language has,
// so that a property that is added is coloured too.
func TestGrammarKnowsTheLanguage(t *testing.T) {
	var grammar rule
	readJSON(t, "syntaxes/ctst.tmLanguage.json", &grammar)

	var keys []string
	var collect func(*schema.Type)
	collect = func(typ *schema.Type) {
		for _, f := range typ.Fields {
			// A property's name is coloured in any place.
			if schema.Lookup(f.Name) == nil && !slices.Contains(keys, f.Name) {
				keys = append(keys, f.Name)
			}
		}
		if typ.Elem != nil {
			collect(typ.Elem)
		}
		for _, option := range typ.Any {
			collect(option)
		}
	}
	for _, p := range schema.Properties() {
		collect(p.Type)
	}
	var statements, clauses []string
	for _, word := range token.Keywords() {
		switch kind := token.Lookup(word); {
		case kind.Statement():
			statements = append(statements, word)
		case kind != token.UNSET:
			clauses = append(clauses, word)
		}
	}
	for name, want := range map[string][]string{
		"statements": statements,
		"clauses":    clauses,
		"constants":  {"UNSET", "true", "false"},
		"properties": schema.Names(),
		"keys":       keys,
		"types":      {"string", "int", "number", "bool", "list", "map"},
	} {
		words := regexp.MustCompile(`\(([A-Za-z_|]+)\)`).FindStringSubmatch(grammar.Repository[name].Match)
		if words == nil {
			t.Fatalf("%s: no list of words in %q", name, grammar.Repository[name].Match)
		}
		if got := strings.Split(words[1], "|"); !slices.Equal(got, want) {
			t.Errorf("%s of the grammar\n got %v\nwant %v", name, got, want)
		}
	}
}

// TestGrammarIsSound: every rule that is included exists, and every expression
// is one, as far as Go's package can tell, which has no lookaround.
func TestGrammarIsSound(t *testing.T) {
	var grammar rule
	readJSON(t, "syntaxes/ctst.tmLanguage.json", &grammar)
	lookaround := strings.NewReplacer("(?=", "(?:", "(?!", "(?:", "(?<=", "(?:", "(?<!", "(?:")
	used := map[string]bool{}
	count := 0
	var check func(rule)
	check = func(r rule) {
		if r.Include != "" {
			name := strings.TrimPrefix(r.Include, "#")
			if _, ok := grammar.Repository[name]; !ok {
				t.Errorf("there is no rule %q", r.Include)
			}
			used[name] = true
		}
		for _, expression := range []string{r.Match, r.Begin, r.End} {
			if expression == "" {
				continue
			}
			count++
			if _, err := regexp.Compile(lookaround.Replace(expression)); err != nil {
				t.Error(err)
			}
		}
		if (r.Begin == "") != (r.End == "") {
			t.Errorf("a rule from %q to %q", r.Begin, r.End)
		}
		for _, inner := range r.Patterns {
			check(inner)
		}
		for _, inner := range r.Repository {
			check(inner)
		}
	}
	check(grammar)
	if count < 20 {
		t.Fatalf("%d expressions: the grammar was not read", count)
	}
	for name := range grammar.Repository {
		if !used[name] {
			t.Errorf("nothing includes the rule %q", name)
		}
	}
}

// TestExtension: the files that the extension names are there, and read.
func TestExtension(t *testing.T) {
	var manifest struct {
		Main        string
		Contributes struct {
			Languages []struct {
				ID, Configuration string
				Extensions        []string
			}
			Grammars []struct{ Language, ScopeName, Path string }
		}
	}
	readJSON(t, "package.json", &manifest)
	if len(manifest.Contributes.Languages) != 1 || len(manifest.Contributes.Grammars) != 1 {
		t.Fatalf("%+v", manifest)
	}
	language, syntax := manifest.Contributes.Languages[0], manifest.Contributes.Grammars[0]
	if language.ID != syntax.Language || !slices.Equal(language.Extensions, []string{".ctst"}) {
		t.Errorf("language %+v, grammar %+v", language, syntax)
	}
	var grammar struct{ ScopeName string }
	readJSON(t, syntax.Path, &grammar)
	if grammar.ScopeName != syntax.ScopeName {
		t.Errorf("the grammar is %s, and the manifest says %s", grammar.ScopeName, syntax.ScopeName)
	}
	var configuration struct {
		Comments struct{ LineComment string }
	}
	readJSON(t, language.Configuration, &configuration)
	if configuration.Comments.LineComment != "//" {
		t.Errorf("%+v", configuration)
	}
	script, err := os.ReadFile(filepath.Join(vscode, manifest.Main))
	if err != nil || !strings.Contains(string(script), `args: ["lsp"]`) {
		t.Errorf("%s does not start the server: %v", manifest.Main, err)
	}
}
