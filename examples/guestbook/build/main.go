// Command build makes the guestbook's images from source: no registry, no base
// image, nothing fetched.
//
//	go run ./build
//
// It writes two root folders, images/store and images/web, one archive,
// images/api.tar, and guestbook.ctst, which holds the archive's digest. The same
// sources and Go version give the same bytes.
package main

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"text/template"
)

func main() {
	log.SetFlags(0)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := build(ctx, "."); err != nil {
		log.Fatal(err)
	}
}

// build makes everything below dir, the folder of the example.
func build(ctx context.Context, dir string) error {
	tmp, err := os.MkdirTemp("", "guestbook-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)

	programs := make(map[string][]byte)
	for _, name := range []string{"store", "api", "web"} {
		if programs[name], err = compile(ctx, dir, tmp, name); err != nil {
			return err
		}
	}
	for _, name := range []string{"store", "web"} {
		root := filepath.Join(dir, "images", name)
		if err := writeFile(filepath.Join(root, name), programs[name], 0o755); err != nil {
			return err
		}
		fmt.Println("made", root)
	}
	archive, err := rootArchive("api", programs["api"])
	if err != nil {
		return err
	}
	file := filepath.Join(dir, "images", "api.tar")
	if err := writeFile(file, archive, 0o644); err != nil {
		return err
	}
	fmt.Println("made", file)

	digest := fmt.Sprintf("sha256:%x", sha256.Sum256(archive))
	return writeStack(dir, digest)
}

// compile returns a static Linux program for this machine's architecture.
func compile(ctx context.Context, dir, tmp, name string) ([]byte, error) {
	out := filepath.Join(tmp, name)
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", out, "./"+name)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOFLAGS=", "GOWORK=off")
	if output, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build %s: %w\n%s", name, err, output)
	}
	return os.ReadFile(out)
}

// rootArchive returns a root file system with one program: no time, no name of
// an owner, nothing that differs from machine to machine.
func rootArchive(name string, program []byte) ([]byte, error) {
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(program)), Mode: 0o755, Format: tar.FormatUSTAR}
	if err := w.WriteHeader(header); err != nil {
		return nil, err
	}
	if _, err := w.Write(program); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return archive.Bytes(), nil
}

// writeStack fills in guestbook.ctst.in.
func writeStack(dir, digest string) error {
	tmpl, err := template.ParseFiles(filepath.Join(dir, "guestbook.ctst.in"))
	if err != nil {
		return err
	}
	var text bytes.Buffer
	if err := tmpl.Execute(&text, struct{ APIDigest string }{digest}); err != nil {
		return err
	}
	file := filepath.Join(dir, "guestbook.ctst")
	if err := writeFile(file, text.Bytes(), 0o644); err != nil {
		return err
	}
	fmt.Println("made", file)
	return nil
}

// writeFile writes beside the file and renames, so that a container that runs
// the old program keeps it ("text file busy" otherwise), and a file with the
// right content is left alone.
func writeFile(name string, data []byte, mode os.FileMode) error {
	if have, err := os.ReadFile(name); err == nil && bytes.Equal(have, data) {
		return os.Chmod(name, mode)
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	next := name + ".new"
	if err := os.WriteFile(next, data, mode); err != nil {
		return err
	}
	// The umask may have taken bits away, and the mode is part of the digest.
	if err := errors.Join(os.Chmod(next, mode), os.Chmod(filepath.Dir(name), 0o755)); err != nil {
		return err
	}
	return os.Rename(next, name)
}
