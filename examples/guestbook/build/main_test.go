package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestBuild builds a copy of the example twice.
func TestBuild(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("..")); err != nil {
		t.Fatal(err)
	}
	for _, made := range []string{"images", "guestbook.ctst"} {
		if err := os.RemoveAll(filepath.Join(dir, made)); err != nil {
			t.Fatal(err)
		}
	}
	files := []string{"images/store/store", "images/web/web", "images/api.tar", "guestbook.ctst"}
	read := func() map[string]string {
		if err := build(t.Context(), dir); err != nil {
			t.Fatal(err)
		}
		made := make(map[string]string)
		for _, name := range files {
			data, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			made[name] = string(data)
		}
		return made
	}
	first := read()
	if err := os.RemoveAll(filepath.Join(dir, "images")); err != nil {
		t.Fatal(err)
	}
	second := read()
	for _, name := range files {
		if first[name] != second[name] {
			t.Errorf("%s differs from build to build", name)
		}
	}

	archive := first["images/api.tar"]
	pin := fmt.Sprintf(`"tar://./images/api.tar@sha256:%x"`, sha256.Sum256([]byte(archive)))
	if !strings.Contains(first["guestbook.ctst"], pin) {
		t.Errorf("no %s in\n%s", pin, first["guestbook.ctst"])
	}
	entries := tar.NewReader(strings.NewReader(archive))
	header, err := entries.Next()
	if err != nil {
		t.Fatal(err)
	}
	if header.Name != "api" || header.Mode != 0o755 || header.Uid != 0 || header.Uname != "" || header.ModTime.Unix() != 0 {
		t.Errorf("entry %+v", header)
	}
	program, err := io.ReadAll(entries)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := entries.Next(); err != io.EOF {
		t.Errorf("a second entry: %v", err)
	}
	for name, data := range map[string][]byte{
		"api": program, "store": []byte(first["images/store/store"]), "web": []byte(first["images/web/web"]),
	} {
		file, err := elf.NewFile(bytes.NewReader(data))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, prog := range file.Progs {
			if prog.Type == elf.PT_INTERP {
				t.Errorf("%s is not static", name)
			}
		}
	}
}
