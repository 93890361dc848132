package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
)

// kernelPackage is Debian's for virtual machines; it stands for the newest
// version, whose package it depends on.
var kernelPackage = "linux-image-cloud-" + runtime.GOARCH

// A kernel is an unpacked package.
type kernel struct {
	release string // as uname -r prints it
	image   string // the file that boots
	modules string // the folder of its modules
}

// findKernel returns the kernel in a folder, or in the cache. If it is not there
// yet it comes from Debian's package, which is unpacked and not installed.
func findKernel(ctx context.Context, cache, folder string) (kernel, error) {
	if folder != "" {
		return openKernel(folder)
	}
	folder = filepath.Join(cache, "kernel-"+runtime.GOARCH)
	k, err := openKernel(folder)
	if err == nil {
		return k, nil
	}
	name, err := newestKernel(ctx)
	if err != nil {
		return kernel{}, err
	}
	fmt.Println("guest: downloading", name)
	// Unpacked aside: a folder with that name is complete.
	tmp, err := os.MkdirTemp(cache, "kernel-")
	if err != nil {
		return kernel{}, err
	}
	defer os.RemoveAll(tmp)
	if _, err := command(ctx, tmp, "apt-get", "download", "-qq", name); err != nil {
		return kernel{}, fmt.Errorf("download the guest's kernel: %w", err)
	}
	packages, err := filepath.Glob(filepath.Join(tmp, "*.deb"))
	if err != nil || len(packages) != 1 {
		return kernel{}, fmt.Errorf("download the guest's kernel: %d packages came: %w", len(packages), err)
	}
	unpacked := filepath.Join(tmp, "unpacked")
	if _, err := command(ctx, tmp, "dpkg-deb", "-x", packages[0], unpacked); err != nil {
		return kernel{}, fmt.Errorf("unpack the guest's kernel: %w", err)
	}
	if err := errors.Join(os.RemoveAll(folder), os.Rename(unpacked, folder)); err != nil {
		return kernel{}, err
	}
	return openKernel(folder)
}

// openKernel looks for a kernel in an unpacked package.
func openKernel(folder string) (kernel, error) {
	images, err := filepath.Glob(filepath.Join(folder, "boot", "vmlinuz-*"))
	if err != nil || len(images) != 1 {
		return kernel{}, fmt.Errorf("%s: not an unpacked kernel package: %d files boot/vmlinuz-*", folder, len(images))
	}
	release := strings.TrimPrefix(filepath.Base(images[0]), "vmlinuz-")
	for _, lib := range []string{"lib", "usr/lib"} {
		modules := filepath.Join(folder, lib, "modules", release)
		if _, err := os.Stat(modules); err == nil {
			return kernel{release: release, image: images[0], modules: modules}, nil
		}
	}
	return kernel{}, fmt.Errorf("%s: no folder lib/modules/%s", folder, release)
}

var dependsLine = regexp.MustCompile(`(?m)^Depends: (linux-image-[0-9][^ ,]*)`)

// newestKernel returns the package that kernelPackage depends on.
func newestKernel(ctx context.Context) (string, error) {
	out, err := command(ctx, "", "apt-cache", "show", "--no-all-versions", kernelPackage)
	if err != nil {
		return "", fmt.Errorf("find the guest's kernel: %w; it is a package of Debian's: elsewhere unpack one and name its folder with -kernel", err)
	}
	found := dependsLine.FindStringSubmatch(out)
	if found == nil {
		return "", fmt.Errorf("find the guest's kernel: package %s depends on none", kernelPackage)
	}
	return found[1], nil
}

// command runs a program and returns its output; its error has what the program
// complained about.
func command(ctx context.Context, dir, name string, args ...string) (string, error) {
	return commandEnv(ctx, dir, nil, name, args...)
}

func commandEnv(ctx context.Context, dir string, env []string, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%s: %w\n%s", strings.Join(append([]string{name}, args...), " "), err, strings.TrimSpace(complaint.String()))
	}
	return string(out), err
}
