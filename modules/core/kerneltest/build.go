package kerneltest

import (
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
)

// ProgramsEnv is the environment variable that names a folder with the programs
// that tests build, for machines that have no go command.
const ProgramsEnv = "CTST_TEST_PROGRAMS"

// Build builds a program without cgo and writes it to the file output. The
// package is named as the go command takes it in the test's folder:
// "./testdata/probe", or an import path; env goes into the go command's
// environment. Where CTST_TEST_PROGRAMS is set, the program is copied from that
// folder instead, where it has the last element of the package's path as its
// name.
func Build(output, pkg string, env ...string) error {
	if dir := os.Getenv(ProgramsEnv); dir != "" {
		program, err := os.ReadFile(filepath.Join(dir, path.Base(pkg)))
		if err == nil {
			err = os.WriteFile(output, program, 0o755)
		}
		if err != nil {
			return fmt.Errorf("copy the program of %s: %w", pkg, err)
		}
		return nil
	}
	cmd := exec.Command("go", "build", "-o", output, pkg)
	cmd.Env = append(append(os.Environ(), "CGO_ENABLED=0"), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build %s: %w\n%s", pkg, err, out)
	}
	return nil
}
