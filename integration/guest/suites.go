package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/containust/containust/integration/guest/job"
)

// A suite is the tests of a package.
type suite struct {
	pkg    string   // import path
	folder string   // from the top of the repository, with slashes
	linux  []string // the tests in files for Linux alone
}

// Packages whose import makes a test one for the guest, and what is built for
// every suite because scripts run it.
const (
	repository = "github.com/containust/containust/"
	kernelTest = repository + "modules/core/kerneltest"
	ctst       = repository + "modules/cli/cmd/ctst"
)

// topFolder returns the repository's folder.
func topFolder(ctx context.Context) (string, error) {
	out, err := command(ctx, "", "go", "env", "GOWORK")
	if err != nil {
		return "", err
	}
	work := strings.TrimSpace(out)
	if work == "" || work == "off" {
		return "", errors.New("not in the repository's workspace (go.work)")
	}
	return filepath.Dir(work), nil
}

// goPackage is what `go list -json` says, as far as we ask.
type goPackage struct {
	Dir, ImportPath           string
	TestGoFiles, XTestGoFiles []string
	TestImports, XTestImports []string
}

// findSuites lists the packages with tests for the kernel.
func findSuites(ctx context.Context, top string, patterns []string) ([]suite, error) {
	if len(patterns) == 0 {
		patterns = []string{"work"}
	}
	args := append([]string{"list", "-json=Dir,ImportPath,TestGoFiles,XTestGoFiles,TestImports,XTestImports"}, patterns...)
	out, err := commandEnv(ctx, "", []string{"GOOS=linux", "CGO_ENABLED=0"}, "go", args...)
	if err != nil {
		return nil, err
	}
	var suites []suite
	for decoder := json.NewDecoder(strings.NewReader(out)); ; {
		var p goPackage
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		if !p.needsKernel() {
			continue
		}
		folder, err := filepath.Rel(top, p.Dir)
		if err != nil {
			return nil, err
		}
		linux, err := p.linuxTests()
		if err != nil {
			return nil, err
		}
		suites = append(suites, suite{pkg: p.ImportPath, folder: filepath.ToSlash(folder), linux: linux})
	}
	if len(suites) == 0 {
		return nil, fmt.Errorf("no tests for the kernel in %s", strings.Join(patterns, " "))
	}
	return suites, nil
}

func forLinux(file string) bool { return strings.HasSuffix(file, "_linux_test.go") }

var testName = regexp.MustCompile(`(?m)^func (Test\w+)\(t \*testing\.T\)`)

// linuxTests lists the tests in files for Linux alone.
func (p goPackage) linuxTests() ([]string, error) {
	var names []string
	for _, file := range slices.Concat(p.TestGoFiles, p.XTestGoFiles) {
		if !forLinux(file) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(p.Dir, file))
		if err != nil {
			return nil, err
		}
		for _, found := range testName.FindAllStringSubmatch(string(text), -1) {
			names = append(names, found[1])
		}
	}
	return names, nil
}

func (p goPackage) needsKernel() bool {
	return slices.ContainsFunc(p.TestGoFiles, forLinux) || slices.ContainsFunc(p.XTestGoFiles, forLinux) ||
		slices.Contains(p.TestImports, kernelTest) || slices.Contains(p.XTestImports, kernelTest)
}

// programs lists the programs that the tests of a suite build: those below its
// testdata. It returns the folders, relative to the package.
func (s suite) programs(top string) ([]string, error) {
	found, err := filepath.Glob(filepath.Join(top, s.folder, "testdata", "*", "*.go"))
	if err != nil {
		return nil, err
	}
	var programs []string
	for _, file := range found {
		if folder := path.Base(filepath.Dir(file)); !slices.Contains(programs, folder) {
			programs = append(programs, folder)
		}
	}
	return programs, nil
}

// build compiles a suite's tests and what they would build, into the guest's
// root file system.
func (s suite) build(ctx context.Context, top, root string) error {
	source := filepath.Join(top, filepath.FromSlash(s.folder))
	env := []string{"GOOS=linux", "CGO_ENABLED=0"}
	_, err := commandEnv(ctx, source, env, "go", "test", "-c", "-ldflags=-s -w", "-o", filepath.Join(root, s.program()), ".")
	if err != nil {
		return err
	}
	target := filepath.Join(root, s.workFolder())
	if err := os.MkdirAll(target, 0o755); err != nil {
		return err
	}
	if err := copyTestFiles(target, source); err != nil {
		return err
	}
	programs, err := s.programs(top)
	if err != nil {
		return err
	}
	folder := filepath.Join(root, s.programFolder())
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	for _, name := range programs {
		_, err := commandEnv(ctx, source, env, "go", "build", "-ldflags=-s -w", "-o", filepath.Join(folder, name), "./testdata/"+name)
		if err != nil {
			return err
		}
	}
	return os.Symlink(ctstProgram, filepath.Join(folder, path.Base(ctst)))
}

// copyTestFiles copies what tests may read: the files beside them, and testdata.
func copyTestFiles(target, source string) error {
	entries, err := os.ReadDir(source)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		from, to := filepath.Join(source, entry.Name()), filepath.Join(target, entry.Name())
		switch {
		case entry.Name() == "testdata":
			err = os.CopyFS(to, os.DirFS(from))
		case entry.Type().IsRegular():
			err = copyFile(to, from)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// ctstProgram is where the command is in the guest.
const ctstProgram = job.Tests + "/ctst"

// sources is where the guest has as much of the repository as its tests read.
const sources = job.Tests + "/repository/"

// Where a suite's things are in the guest.
func (s suite) program() string       { return job.Tests + "/" + s.folder + "/test" }
func (s suite) programFolder() string { return job.Tests + "/" + s.folder + "/programs" }
func (s suite) workFolder() string    { return sources + s.folder }
