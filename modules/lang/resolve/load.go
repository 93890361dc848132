package resolve

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/containust/containust/modules/lang/ast"
	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/lang/parser"
	"github.com/containust/containust/modules/lang/schema"
	"github.com/containust/containust/modules/lang/stack"
	"github.com/containust/containust/modules/lang/token"
)

// The limits of imports.
const (
	maxFiles       = 256
	maxImportDepth = 32
)

// What is reported, and what is worked on, before a file is given up: a file
// that is made to be slow shall not be.
const (
	maxFound  = 10_000   // diagnostics
	maxNear   = 500_000  // comparisons for suggestions
	maxWork   = 800_000  // values to evaluate
	maxTexts  = 64 << 20 // bytes of text to put together
	maxDeploy = 50_000   // components
	maxDepth  = 10_000   // references that lead to references; each takes stack
)

// resolver is one call of Load.
type resolver struct {
	ctx       context.Context
	opts      Options
	found     diag.List
	reported  map[reportKey]bool
	root      *unit
	units     map[string]*unit // by location.key; nil: could not be fetched
	all       []*unit
	reads     int                  // files that were asked for
	instances map[string]*instance // the components of the root file
	order     []*instance
	secrets   map[string]*secret
	secretEnv map[string]string // CONTAINUST_SECRET_X -> the secret's name

	byPort      map[stack.Port][]*instance // of deployed components; see listeners
	portsFailed bool                       // the ports of some are not known
	envBeside   *bool                      // a .env lies beside the root file

	gaveUp     bool // there is more than is told
	nearBudget int  // comparisons left for suggestions
	depth      int  // of the reference that is evaluated
	workBudget int  // values left to evaluate
	textBudget int  // bytes of text left to put together
}

type reportKey struct {
	code    diag.Code
	file    string
	offset  int
	summary string
}

func load(ctx context.Context, file string, opts Options) (*stack.Stack, diag.List) {
	r := newResolver(ctx, opts)
	st := r.run(file)
	if err := ctx.Err(); err != nil {
		r.report(diag.FileUnreadable, token.Range{}, fmt.Sprintf("reading %s was interrupted: %v", file, err), "", "")
	}
	r.found.Sort()
	if r.found.HasErrors() {
		return nil, r.found
	}
	return st, r.found
}

func newResolver(ctx context.Context, opts Options) *resolver {
	if opts.ReadFile == nil {
		opts.ReadFile = parser.ReadFile
	}
	if opts.LookupEnv == nil {
		opts.LookupEnv = func(string) (string, bool) { return "", false }
	}
	if opts.LookupSecret == nil {
		opts.LookupSecret = func(string) (string, error) { return "", fs.ErrNotExist }
	}
	return &resolver{
		ctx: ctx, opts: opts, reported: map[reportKey]bool{}, units: map[string]*unit{}, instances: map[string]*instance{},
		secrets: map[string]*secret{}, secretEnv: map[string]string{},
		nearBudget: maxNear, workBudget: maxWork, textBudget: maxTexts,
	}
}

func (r *resolver) run(file string) *stack.Stack {
	src, err := r.opts.ReadFile(file)
	if err != nil {
		r.report(diag.FileUnreadable, token.Range{}, fmt.Sprintf("%s cannot be read: %s", file, reason(err)), "", "")
		return nil
	}
	absolute, err := filepath.Abs(file)
	if err != nil {
		r.report(diag.FileUnreadable, token.Range{}, fmt.Sprintf("%s cannot be read: %s", file, reason(err)), "", "")
		return nil
	}
	r.reads++
	r.root = r.parse(location{name: file, key: absolute, dir: filepath.Dir(absolute)}, src, true)
	r.importsOf(r.root, []*unit{r.root}, nil)
	for _, u := range r.all {
		r.linkBases(u)
	}
	r.similarNames()
	return r.build(absolute)
}

// parse reads the text of a file and declares its names.
func (r *resolver) parse(at location, src []byte, root bool) *unit {
	tree, found := parser.Parse(at.name, src)
	r.found = append(r.found, found...)
	u := &unit{location: at, digest: digest(src), root: root, tree: tree}
	r.units[at.key] = u
	r.all = append(r.all, u)
	r.declare(u)
	return u
}

// importsOf reads what a file imports. path are the files from the root to it,
// and places the statements that led there.
func (r *resolver) importsOf(u *unit, path []*unit, places []token.Range) {
	for _, s := range u.tree.Statements {
		if s, ok := s.(*ast.Import); ok {
			r.importOne(u, s, path, places)
		}
	}
}

func (r *resolver) importOne(u *unit, s *ast.Import, path []*unit, places []token.Range) {
	target, plain := s.Path.Plain()
	if !plain {
		r.report(diag.ReferenceNotAllowed, s.Path.Range, "a reference cannot stand in the path of an import", "", "Imports are known before anything is evaluated.")
		u.incomplete = true
		return
	}
	file, pin := cutPin(target)
	if file == "" {
		r.report(diag.ImportUnreadable, s.Path.Range, "the path of the import is empty", "write the path of a file", "")
		u.incomplete = true
		return
	}
	alias, ok := r.importAlias(u, s, file)
	if !ok {
		u.incomplete = true
		return
	}
	u.imports[alias] = nil
	if at, ok := r.locate(u, s, file, pin); ok {
		u.imports[alias] = r.importFile(s, at, pin, path, places)
	}
}

// importFile reads one imported file, or finds it among those read already.
func (r *resolver) importFile(s *ast.Import, at location, pin string, path []*unit, places []token.Range) *unit {
	if known, ok := r.units[at.key]; ok {
		if known == nil {
			return nil
		}
		for i, u := range path {
			if u == known {
				r.importCycle(s, path[i:], append(places[i:len(places):len(places)], s.Range))
				return nil
			}
		}
		if !r.matchesPin(s, at, pin, known.digest) {
			return nil
		}
		return known
	}
	if r.reads >= maxFiles {
		r.report(diag.ImportLimit, s.Path.Range, fmt.Sprintf("more than %d files", maxFiles), "put what belongs together into one file", "")
		return nil
	}
	if len(path) > maxImportDepth {
		r.report(diag.ImportLimit, s.Path.Range, fmt.Sprintf("imports deeper than %d", maxImportDepth), "import it further up", "")
		return nil
	}
	r.reads++
	src, ok := r.read(s, at, pin)
	if !ok || !r.matchesPin(s, at, pin, digest(src)) {
		return nil
	}
	u := r.parse(at, src, false)
	r.importsOf(u, append(path[:len(path):len(path)], u), append(places[:len(places):len(places)], s.Range))
	return u
}

// read reads a file, from disk or from the network.
func (r *resolver) read(s *ast.Import, at location, pin string) ([]byte, bool) {
	if at.url != nil {
		return r.fetch(s, at, pin)
	}
	src, err := r.opts.ReadFile(at.name)
	if err != nil {
		detail := "A path is relative to the file that imports."
		if strings.Contains(at.name, "@sha256:") {
			detail = "A pin is @sha256: with 64 hexadecimal digits, and otherwise part of the path."
		}
		r.report(diag.ImportUnreadable, s.Path.Range, fmt.Sprintf("%s cannot be read: %s", at.name, reason(err)), "", detail)
	}
	return src, err == nil
}

func (r *resolver) matchesPin(s *ast.Import, at location, pin, actual string) bool {
	if pin == "" || actual == pin {
		return true
	}
	r.report(diag.ImportPin, s.Path.Range, fmt.Sprintf("%s does not have the digest it is pinned to", at.name), "",
		fmt.Sprintf("expected sha256:%s\nfound    sha256:%s", pin, actual))
	return false
}

func (r *resolver) importCycle(s *ast.Import, path []*unit, places []token.Range) {
	names := make([]string, 0, len(path)+1)
	for _, u := range path {
		names = append(names, u.name)
	}
	names = append(names, path[0].name)
	var related []diag.Related
	for i, place := range places[:len(places)-1] {
		related = append(related, diag.Related{Label: fmt.Sprintf("%s imports %s", names[i], names[i+1]), Range: place})
	}
	r.report(diag.ImportCycle, s.Path.Range, "files import each other: "+strings.Join(names, " → "), "", "Move what both need into a file of its own.", related...)
}

// cutPin splits the pin off a path. Any other @ is part of the path.
func cutPin(target string) (file, pin string) {
	i := strings.LastIndex(target, "@sha256:")
	if i < 0 || !schema.IsDigest(target[i+len("@sha256:"):]) {
		return target, ""
	}
	return target[:i], target[i+len("@sha256:"):]
}

// importAlias returns the name of an import, which no component and no other
// import may have.
func (r *resolver) importAlias(u *unit, s *ast.Import, file string) (string, bool) {
	alias := ast.Ident{Range: s.Path.Range}
	if s.Alias != nil {
		alias = *s.Alias
	} else {
		alias.Name = stem(file, u.fetched() || isURL(file))
		if !token.IsName(alias.Name) {
			r.report(diag.ImportAlias, s.Path.Range, fmt.Sprintf("%q is not a name", alias.Name), "add AS and a name", "Without AS the import is called after its file.")
			return "", false
		}
	}
	if !r.nameAllowed(alias, "an import") {
		return "", false
	}
	if c := u.components[alias.Name]; c != nil {
		r.report(diag.ImportAlias, alias.Range, fmt.Sprintf("%q is also the name of a component", alias.Name), "choose another name with AS", "",
			diag.Related{Label: "the component", Range: c.name.Range})
		return "", false
	}
	if first, ok := u.aliases[alias.Name]; ok {
		r.report(diag.DuplicateName, alias.Range, fmt.Sprintf("two imports are called %q", alias.Name), "choose another name with AS", "",
			diag.Related{Label: "the first", Range: first})
		return "", false
	}
	u.aliases[alias.Name] = alias.Range
	return alias.Name, true
}

// reason is an error without the operation and path that the summary names.
func reason(err error) string {
	var pathError *fs.PathError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "no such file"
	case errors.As(err, &pathError):
		return pathError.Err.Error()
	}
	return err.Error()
}

func (r *resolver) report(code diag.Code, rng token.Range, summary, suggestion, detail string, related ...diag.Related) {
	r.add(diag.Diagnostic{Code: code, Summary: summary, Suggestion: suggestion, Detail: detail, Range: rng, Related: related})
}

func (r *resolver) warn(code diag.Code, rng token.Range, summary, suggestion, detail string, related ...diag.Related) {
	r.add(diag.Diagnostic{Code: code, Severity: diag.Warning, Summary: summary, Suggestion: suggestion, Detail: detail, Range: rng, Related: related})
}

// add reports once what several copies of a template have in common.
func (r *resolver) add(d diag.Diagnostic) {
	key := reportKey{d.Code, d.Range.File, d.Range.Start.Offset, d.Summary}
	if r.reported[key] {
		return
	}
	r.reported[key] = true
	switch {
	case len(r.found) < maxFound:
		r.found = append(r.found, d)
	case !r.gaveUp:
		r.gaveUp = true
		r.found = append(r.found, diag.Diagnostic{
			Code: diag.TooManyErrors, Summary: fmt.Sprintf("more than %d errors: the rest is not told", maxFound), Range: d.Range,
		})
	}
}

// near returns the suggestion "did you mean", or "" when nothing is near. Its
// work is bounded: a file that gets every name wrong has other needs.
func (r *resolver) near(word string, candidates ...[]string) string {
	for _, c := range candidates {
		if r.nearBudget -= len(c); r.nearBudget < 0 {
			return ""
		}
		if best := diag.Nearest(word, c); best != "" {
			return fmt.Sprintf("did you mean %q?", best)
		}
	}
	return ""
}
