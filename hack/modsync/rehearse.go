package main

import (
	"context"
	"debug/buildinfo"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// repoURL is where the go command looks for the modules.
const repoURL = "https://github.com/containust/containust"

// rehearse releases HEAD where nobody sees it: a bare clone in a temporary
// folder, every module tagged there on the one commit. Then it imports each
// module, alone, into a program outside of the workspace and installs the
// command, as a user would. The workspace hides what this finds: a requirement
// that is missing, a version that does not exist, a replace that was relied on.
func (r *repo) rehearse(ctx context.Context, out io.Writer) error {
	started := time.Now()
	tmp, err := os.MkdirTemp("", "rehearsal-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)

	commit, err := r.release(ctx, tmp, out)
	if err != nil {
		return err
	}
	env, err := r.outsideEnv(ctx, tmp)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "rehearsing the release of %s\n", commit)
	for _, name := range r.released() {
		if err := r.useModule(ctx, tmp, env, name, out); err != nil {
			return fmt.Errorf("%s alone, from outside: %w", name, err)
		}
	}
	if err := r.installCommand(ctx, tmp, env, out); err != nil {
		return fmt.Errorf("install the command: %w", err)
	}
	fmt.Fprintf(out, "the release would work (%.1f s)\n", time.Since(started).Seconds())
	return nil
}

// release clones HEAD to tmp/repo.git and tags it there.
func (r *repo) release(ctx context.Context, tmp string, out io.Writer) (commit string, err error) {
	// A checkout made by somebody else, as CI has it, is no danger: nothing of it is run.
	safe := appendGitConfig(os.Environ(), "safe.directory", r.root)
	dirty, err := r.output(ctx, "", safe, "git", "status", "--porcelain")
	if err != nil {
		return "", err
	}
	if len(dirty) > 0 {
		fmt.Fprintln(out, "note: uncommitted changes are not part of the rehearsal")
	}
	bare := filepath.Join(tmp, "repo.git")
	if _, err := r.output(ctx, "", safe, "git", "clone", "--quiet", "--bare", r.root, bare); err != nil {
		return "", err
	}
	for _, name := range r.released() {
		tag := "modules/" + name + "/" + r.versions[name]
		if _, err := r.output(ctx, bare, nil, "git", "tag", "--force", tag); err != nil {
			return "", err
		}
	}
	head, err := r.output(ctx, bare, nil, "git", "log", "-1", "--format=%h %s")
	return strings.TrimSpace(string(head)), err
}

// outsideEnv is the environment of somebody who has never seen the checkout.
func (r *repo) outsideEnv(ctx context.Context, tmp string) ([]string, error) {
	found, err := r.output(ctx, "", nil, "go", "env", "GOMODCACHE", "GOPROXY")
	if err != nil {
		return nil, err
	}
	cache, proxy, ok := strings.Cut(strings.TrimSpace(string(found)), "\n")
	if !ok {
		return nil, fmt.Errorf("go env printed %q", found)
	}
	bare := "file://" + filepath.ToSlash(filepath.Join(tmp, "repo.git"))
	env := appendGitConfig(os.Environ(), "url."+bare+".insteadOf", repoURL)
	private := strings.TrimSuffix(prefix, "/") + "/*"
	return append(env,
		// A module cache of its own, because the real one must never hold our
		// rehearsed versions; what others released comes from the real one if
		// it is there. -trimpath lets the build cache serve all rehearsals,
		// wherever their module cache lies; -modcacherw lets us remove it.
		"GOMODCACHE="+filepath.Join(tmp, "mod"),
		"GOPROXY=file://"+filepath.ToSlash(filepath.Join(cache, "cache", "download"))+","+proxy,
		"GOFLAGS=-mod=mod -trimpath -modcacherw",
		"GOBIN="+filepath.Join(tmp, "bin"),
		"GOPRIVATE="+private, "GONOPROXY="+private, "GONOSUMDB="+private,
	), nil
}

// useModule imports all packages of a released module into a program and
// builds it.
func (r *repo) useModule(ctx context.Context, tmp string, env []string, name string, out io.Writer) error {
	started := time.Now()
	dir := filepath.Join(tmp, "use-"+name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	run := func(args ...string) ([]string, error) {
		text, err := r.output(ctx, dir, env, "go", args...)
		return strings.Fields(string(text)), err
	}
	if _, err := run("mod", "init", "example.org/use-"+name); err != nil {
		return err
	}
	if _, err := run("get", prefix+name+"@"+r.versions[name]); err != nil {
		return err
	}
	all, err := run("list", "-f", `{{.ImportPath}}{{if eq .Name "main"}}/internal{{end}}`, prefix+name+"/...")
	if err != nil {
		return err
	}
	if len(all) == 0 {
		return errors.New("no package in it")
	}
	packages := slices.DeleteFunc(all, isInternal) // a program cannot be imported either
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(importAll(packages)), 0o644); err != nil {
		return err
	}
	if _, err := run("vet", "."); err != nil {
		return err
	}
	// vet has compiled everything; only linking finds a missing assembly function.
	if _, err := run("build", "-o", filepath.Join(dir, "program"), "."); err != nil {
		return err
	}
	compiled, err := run("list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", ".")
	if err != nil {
		return err
	}
	graph, err := run("list", "-m", "-f", "{{.Path}}", "all")
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "  %-8s %s  %2d packages, with %2d foreign modules compiled in (%d in the module graph)  %.1f s\n",
		name, r.versions[name], len(packages), foreign(compiled), foreign(graph), time.Since(started).Seconds())
	return nil
}

// installCommand installs ctst as the README says and asks its version.
func (r *repo) installCommand(ctx context.Context, tmp string, env []string, out io.Writer) error {
	version := r.versions["cli"]
	if _, err := r.output(ctx, tmp, env, "go", "install", prefix+"cli/cmd/ctst@"+version); err != nil {
		return err
	}
	command := filepath.Join(tmp, "bin", "ctst")
	said, err := r.output(ctx, tmp, env, command, "version")
	if err != nil {
		return err
	}
	if !strings.Contains(string(said), version) {
		return fmt.Errorf("ctst version does not know that it is %s: %q", version, said)
	}
	info, err := buildinfo.ReadFile(command)
	if err != nil {
		return err
	}
	var linked []string
	for _, dep := range info.Deps {
		linked = append(linked, dep.Path)
	}
	first, _, _ := strings.Cut(string(said), "\n")
	fmt.Fprintf(out, "  go install …/ctst@%s: %d foreign modules linked in; it says: %s\n", version, foreign(linked), first)
	return nil
}

// appendGitConfig adds one setting to those that an environment passes to git,
// so that no configuration file has to be touched.
func appendGitConfig(env []string, key, value string) []string {
	count := 0
	for _, entry := range env {
		if text, ok := strings.CutPrefix(entry, "GIT_CONFIG_COUNT="); ok {
			if n, err := strconv.Atoi(text); err == nil {
				count = n
			}
		}
	}
	return append(slices.Clip(env),
		fmt.Sprintf("GIT_CONFIG_KEY_%d=%s", count, key),
		fmt.Sprintf("GIT_CONFIG_VALUE_%d=%s", count, value),
		fmt.Sprintf("GIT_CONFIG_COUNT=%d", count+1),
	)
}

// importAll returns a program that imports packages and does nothing.
func importAll(packages []string) string {
	var text strings.Builder
	text.WriteString("package main\n\nimport (\n")
	for _, p := range packages {
		fmt.Fprintf(&text, "\t_ %q\n", p)
	}
	text.WriteString(")\n\nfunc main() {}\n")
	return text.String()
}

// isInternal tells whether only the module itself may import a package.
func isInternal(importPath string) bool {
	return slices.Contains(strings.Split(importPath, "/"), "internal")
}

// foreign counts the different modules that are neither ours nor the program's.
func foreign(modules []string) int {
	seen := make(map[string]bool)
	for _, m := range modules {
		if !strings.HasPrefix(m, prefix) && !strings.HasPrefix(m, "example.org/") {
			seen[m] = true
		}
	}
	return len(seen)
}
