package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/containust/containust/modules/core/cgroup"
	"github.com/containust/containust/modules/core/idmap"
	"github.com/containust/containust/modules/core/rootfs"
	"github.com/containust/containust/modules/core/sandbox"
	"github.com/containust/containust/modules/core/seccomp"
	"github.com/containust/containust/modules/storage/overlay"
)

func addLibrary(dir, root string) ([]*contender, error) {
	top := filepath.Join(dir, "top")
	if err := errors.Join(os.Mkdir(top, 0o755), os.Chown(top, firstID, firstID)); err != nil {
		return nil, err
	}
	// A program that starts containers makes it once.
	filter, err := seccomp.Default().Compile(seccomp.Options{})
	if err != nil {
		return nil, err
	}
	return []*contender{{name: library, start: func() (time.Duration, error) { return launch(root, top, filter) }}}, nil
}

// launch does all that a container with ids of its own needs, but for the
// choice of these: namespaces, an overlay of the image and a generated layer, a
// cgroup, and the launch.
func launch(dir, top string, filter seccomp.Program) (_ time.Duration, err error) {
	begin := time.Now()
	ctx := context.Background()
	ns, err := sandbox.Prepare(ctx, idmap.Contiguous(firstID), sandbox.PrepareOptions{Network: true})
	if err != nil {
		return 0, err
	}
	defer ns.Close()
	prepared := time.Now()
	root, err := overlay.Mount(ctx, overlay.Spec{
		Lower: []overlay.Layer{{Path: dir}, {Path: top, Shifted: true}}, User: ns.User,
	})
	if err != nil {
		return 0, err
	}
	defer root.Close()
	mounted := time.Now()
	group, err := cgroup.Create(ctx, cgroup.Spec{Path: groupName("library")}, cgroup.Options{})
	if err != nil {
		return 0, err
	}
	defer group.Close()
	grouped := time.Now()
	p, err := sandbox.Launch(ctx, sandbox.Spec{
		Root: root, ReadOnlyRoot: true, Plan: rootfs.Default(),
		User: ns.User, Network: ns.Network, RootUID: firstID, RootGID: firstID, Cgroup: group.File(),
		Command: sandbox.Command{Args: []string{"/bin/program"}, Filter: filter, NewSession: true},
	}, sandbox.Options{})
	if err != nil {
		return 0, errors.Join(err, group.Remove(ctx))
	}
	defer p.Close()
	launched := time.Now()
	exit, err := p.Wait(ctx)
	if err == nil && exit.Code != 0 {
		err = fmt.Errorf("exit code %d", exit.Code)
	}
	ended := time.Now()
	err = errors.Join(err, group.Remove(ctx))
	removed := time.Now()
	parts.add(begin, prepared, mounted, grouped, launched, ended, removed)
	return removed.Sub(begin), err
}

// groupName is the name of a contender's cgroup.
func groupName(of string) string { return "bench-" + strconv.Itoa(os.Getpid()) + "-" + of }

// addCommand measures our command as a whole: a project of one component, whose
// image is in the store, from nothing that runs to nothing that runs.
func addCommand(dir, root string) ([]*contender, error) {
	program := filepath.Join(dir, "ctst")
	if err := output("go", "build", "-o", program, "github.com/containust/containust/modules/cli/cmd/ctst"); err != nil {
		return nil, err
	}
	env := []string{"CONTAINUST_CACHE_DIR=" + filepath.Join(dir, "cache")}
	var contenders []*contender
	for i, network := range []string{`network = "none"`, ""} {
		project := filepath.Join(dir, "project"+strconv.Itoa(i))
		file := fmt.Sprintf("COMPONENT one { image = %q command = [\"/bin/program\"] %s }\n", "file://"+root, network)
		if err := errors.Join(os.Mkdir(project, 0o755), os.WriteFile(filepath.Join(project, "one.ctst"), []byte(file), 0o644)); err != nil {
			return nil, err
		}
		contenders = append(contenders, command([]string{ctst, routed}[i], project, env, program, "run"))
	}
	return contenders, nil
}
