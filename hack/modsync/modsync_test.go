package main

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

func TestParseVersions(t *testing.T) {
	tests := []struct {
		name, text string
		want       map[string]string
		err        string
	}{
		{
			name: "comments and blank lines",
			text: "# why\nmodules:\n\n  core: v0.1.0 # next\n  sdk: v1.2.3-rc.1\n",
			want: map[string]string{"core": "v0.1.0", "sdk": "v1.2.3-rc.1"},
		},
		{name: "empty", text: "# nothing\nmodules:\n", err: "names no module"},
		{name: "no v", text: "modules:\n  core: 0.1.0\n", err: `line 2: "0.1.0" is no version`},
		{name: "short", text: "modules:\n  core: v0.1\n", err: "is no version"},
		{name: "leading zero", text: "modules:\n  core: v0.01.0\n", err: "is no version"},
		{name: "zero", text: "modules:\n  core: v0.0.0\n", err: "v0.0.0 cannot be released"},
		{name: "twice", text: "modules:\n  core: v0.1.0\n  core: v0.2.0\n", err: "line 3: core is there twice"},
		{name: "before the key", text: "  core: v0.1.0\nmodules:\n", err: "line 1: want"},
		{name: "not indented", text: "modules:\ncore: v0.1.0\n", err: "line 2: want"},
		{name: "more of YAML", text: "modules:\n  core: {version: v0.1.0}\n", err: "line 2: want"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseVersions(tt.text)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("%q: error %v, want one with %q", tt.text, err, tt.err)
				}
				return
			}
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Fatalf("%q: got %v, %v; want %v", tt.text, got, err, tt.want)
			}
		})
	}
}

func TestCheckImports(t *testing.T) {
	source := func(imported string) *fstest.MapFile {
		return &fstest.MapFile{Data: []byte("package x\n\nimport _ \"" + imported + "\"\n")}
	}
	tests := []struct {
		name   string
		module string
		files  fstest.MapFS
		want   []string
	}{
		{"own package", "core", fstest.MapFS{"a/a.go": source(prefix + "core/b")}, nil},
		{"allowed sibling", "storage", fstest.MapFS{"a.go": source(prefix + "core/kerneltest")}, nil},
		{"others' modules", "lang", fstest.MapFS{"a.go": source("example.org/modules/core")}, nil},
		{
			"sibling of core", "core",
			fstest.MapFS{"a.go": source(prefix + "lang/stack")},
			[]string{"modules/core/a.go: core may not import lang"},
		},
		{
			"up the stack", "storage",
			fstest.MapFS{"source/s.go": source(prefix + "sdk")},
			[]string{"modules/storage/source/s.go: storage may not import sdk"},
		},
		{
			"a test counts", "graph",
			fstest.MapFS{"g_test.go": source(prefix + "core/kerneltest")},
			[]string{"modules/graph/g_test.go: graph may not import core"},
		},
		{
			"another platform counts", "vm",
			fstest.MapFS{"x_windows.go": source(prefix + "observe")},
			[]string{"modules/vm/x_windows.go: vm may not import observe"},
		},
		{
			"Linux in a portable module", "lang",
			fstest.MapFS{"scan_linux.go": source("os")},
			[]string{"modules/lang/scan_linux.go: this module is for every platform alike"},
		},
		{"test data is no code", "lang", fstest.MapFS{"testdata/x.go": {Data: []byte("not Go")}}, nil},
		{
			"unknown module", "new",
			fstest.MapFS{},
			[]string{"modules/new: hack/modsync/imports.go does not say what it may import"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := checkImports(tt.files, tt.module)
			if err != nil || !slices.Equal(got, tt.want) {
				t.Fatalf("got %q, %v; want %q", got, err, tt.want)
			}
		})
	}
}

// TestDirectionHasNoCycle holds the table itself: what a module may import may
// not, along any path, import the module.
func TestDirectionHasNoCycle(t *testing.T) {
	var visit func(name string, path []string)
	visit = func(name string, path []string) {
		if slices.Contains(path, name) {
			t.Fatalf("%v leads back to %s", path, name)
		}
		for _, next := range mayImport[name] {
			visit(next, append(path, name))
		}
	}
	for name := range mayImport {
		visit(name, nil)
	}
}

// TestRepository holds the repository itself; tidiness, which needs module
// downloads, is left to `modsync check`.
func TestRepository(t *testing.T) {
	r, err := openRepo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if problems := r.checkVersions(); len(problems) > 0 {
		t.Errorf("versions:\n%s", strings.Join(problems, "\n"))
	}
	for _, name := range r.released() {
		problems, err := checkImports(moduleFS(r, name), name)
		if err != nil {
			t.Fatal(err)
		}
		if len(problems) > 0 {
			t.Errorf("imports of %s:\n%s", name, strings.Join(problems, "\n"))
		}
	}
}

func TestCheckVersions(t *testing.T) {
	good := func() *repo {
		r := &repo{versions: map[string]string{"core": "v0.2.0", "sdk": "v0.1.0"}}
		for _, dir := range []string{"modules/core", "modules/sdk", "hack/tools"} {
			m := &module{dir: dir}
			m.file.Module.Path = strings.TrimSuffix(prefix, "modules/") + dir
			r.modules = append(r.modules, m)
		}
		r.modules[1].file.Require = []moduleVersion{{prefix + "core", "v0.2.0"}, {"example.org/x", "v9.0.0"}}
		for _, name := range []string{"core", "sdk"} {
			r.work.Use = append(r.work.Use, struct{ DiskPath string }{"./modules/" + name})
			r.work.Replace = append(r.work.Replace, replacement{
				Old: moduleVersion{prefix + name, r.versions[name]},
				New: moduleVersion{Path: "./modules/" + name},
			})
		}
		return r
	}
	tests := []struct {
		name  string
		spoil func(*repo)
		want  string // "": nothing is wrong
	}{
		{"in step", func(*repo) {}, ""},
		{"old requirement", func(r *repo) { r.modules[1].file.Require[0].Version = "v0.1.0" }, "requires core v0.1.0"},
		{"replace in go.mod", func(r *repo) { r.modules[0].file.Replace = make([]replacement, 1) }, "has a replace"},
		{"replace without version", func(r *repo) { r.work.Replace[0].Old.Version = "" }, "go.work does not replace"},
		{"not used", func(r *repo) { r.work.Use = r.work.Use[:1] }, "go.work does not use ./modules/sdk"},
		{"tools used", func(r *repo) {
			r.work.Use = append(r.work.Use, struct{ DiskPath string }{"./hack/tools"})
		}, "stay outside"},
		{"not listed", func(r *repo) {
			delete(r.versions, "sdk")
		}, "modules/sdk is not in versions.yaml"},
		{"not there", func(r *repo) { r.versions["vm"] = "v0.1.0" }, "modules/vm/go.mod is not there"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := good()
			tt.spoil(r)
			got := strings.Join(r.checkVersions(), "\n")
			if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
				t.Fatalf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestLineDiff(t *testing.T) {
	got := lineDiff("a v1\nb v1\n", "b v1\na v2\n")
	if want := []string{"- a v1", "+ a v2"}; !slices.Equal(got, want) {
		t.Fatalf("got %q, want %q", got, want)
	}
}

func TestAppendGitConfig(t *testing.T) {
	before := []string{"HOME=/h", "GIT_CONFIG_COUNT=2", "GIT_CONFIG_KEY_0=a.b"}
	got := appendGitConfig(before, "c.d", "e")
	want := []string{
		"HOME=/h", "GIT_CONFIG_COUNT=2", "GIT_CONFIG_KEY_0=a.b",
		"GIT_CONFIG_KEY_2=c.d", "GIT_CONFIG_VALUE_2=e", "GIT_CONFIG_COUNT=3",
	}
	if !slices.Equal(got, want) {
		t.Fatalf("got %q, want %q", got, want)
	}
}

func TestForeign(t *testing.T) {
	modules := []string{"example.org/use-core", prefix + "core", "golang.org/x/sys", "golang.org/x/sys", "github.com/a/b"}
	if got := foreign(modules); got != 2 {
		t.Fatalf("%q: counted %d, want 2", modules, got)
	}
	if !isInternal(prefix+"core/internal/x") || isInternal(prefix+"core/internals") {
		t.Fatal("internal is a path element")
	}
}
