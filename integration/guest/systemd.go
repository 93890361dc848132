package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"

	"github.com/containust/containust/integration/guest/job"
	"github.com/containust/containust/modules/core/kerneltest"
)

// With -systemd the guest is run by systemd, as users' machines are: it comes
// from Debian's packages, with a message bus and a manager of the ordinary user,
// who is taken as logged in. The jobs are a service then, and the tests those
// that need such a machine.

// systemdPackages are the packages that this takes, with what they depend on.
var systemdPackages = []string{"systemd", "libpam-systemd", "dbus", "dbus-user-session"}

// needless are packages that only matter to installing packages.
var needless = regexp.MustCompile(`perl|^(adduser|debconf|dpkg|gcc-.*|init-system-helpers|tar|usrmerge)$`)

// systemdJobs are the tests that run there, as root and as the user.
func systemdJobs(suites []suite, o options) []job.Job {
	var list []job.Job
	for _, s := range suites {
		for _, uid := range []uint32{0, user} {
			j := s.job(o, uid)
			j.Args = append(j.Args, "-test.run=^TestSystemd")
			j.Env = append(j.Env, kerneltest.RequireEnv+"=systemd,rootless")
			if uid != 0 {
				dir := fmt.Sprintf("/run/user/%d", uid)
				j.Env = append(j.Env, "XDG_RUNTIME_DIR="+dir, "HOME="+dir)
			}
			list = append(list, j)
		}
	}
	return list
}

// systemdSuites are the packages with such tests.
var systemdSuites = []string{
	repository + "modules/core/cgroup/scope", repository + "integration",
}

// findSystemd returns the folder with the unpacked packages. They come from
// Debian once.
func findSystemd(ctx context.Context, cache string) (string, error) {
	folder := filepath.Join(cache, "systemd-"+runtime.GOARCH)
	if _, err := os.Stat(folder); err == nil {
		return folder, nil
	}
	// As on a machine where nothing is installed yet, so that all are named.
	args := append([]string{"install", "-s", "-qq", "-o", "Dir::State::status=/dev/null", "--no-install-recommends"}, systemdPackages...)
	out, err := command(ctx, "", "apt-get", args...)
	if err != nil {
		return "", fmt.Errorf("find the packages of systemd: %w", err)
	}
	names := []string{"download", "-qq"}
	for _, found := range regexp.MustCompile(`(?m)^Inst (\S+)`).FindAllStringSubmatch(out, -1) {
		if !needless.MatchString(found[1]) {
			names = append(names, found[1])
		}
	}
	fmt.Println("guest: downloading systemd,", len(names)-2, "packages")
	tmp, err := os.MkdirTemp(cache, "systemd-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	if _, err := command(ctx, tmp, "apt-get", names...); err != nil {
		return "", fmt.Errorf("download systemd: %w", err)
	}
	packages, err := filepath.Glob(filepath.Join(tmp, "*.deb"))
	if err != nil {
		return "", err
	}
	unpacked := filepath.Join(tmp, "unpacked")
	for _, file := range packages {
		if _, err := command(ctx, tmp, "dpkg-deb", "-x", file, unpacked); err != nil {
			return "", fmt.Errorf("unpack systemd: %w", err)
		}
	}
	// As the guest has it: one folder for programs, one for libraries.
	for _, merge := range [][2]string{{"bin", "usr/bin"}, {"sbin", "usr/bin"}, {"usr/sbin", "usr/bin"}, {"lib", "usr/lib"}, {"lib64", "usr/lib64"}} {
		from := filepath.Join(unpacked, merge[0])
		if _, err := os.Stat(from); errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err := copyTree(ctx, from, filepath.Join(unpacked, merge[1])); err != nil {
			return "", err
		}
		if err := os.RemoveAll(from); err != nil {
			return "", err
		}
	}
	return folder, os.Rename(unpacked, folder)
}

// copyTree copies what is in a folder, links too, over what is there.
func copyTree(ctx context.Context, from, to string) error {
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	_, err := command(ctx, "", "cp", "-a", "--remove-destination", from+"/.", to)
	return err
}

// installSystemd puts systemd into the guest's root file system, with the jobs as
// a service, after which the machine switches itself off.
func installSystemd(ctx context.Context, root, unpacked, init string) error {
	for _, dir := range []string{"usr", "etc", "var"} {
		if err := copyTree(ctx, filepath.Join(unpacked, dir), filepath.Join(root, dir)); err != nil {
			return fmt.Errorf("install systemd: %w", err)
		}
	}
	if err := copyFile(filepath.Join(root, job.Init), init); err != nil {
		return err
	}
	for name, text := range map[string]string{
		"etc/passwd":      "root:x:0:0:root:/root:/bin/sh\nmessagebus:x:100:100::/:/bin/false\nuser:x:1000:1000:user:/home:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
		"etc/group":       "root:x:0:\ntty:x:5:\nmessagebus:x:100:\nuser:x:1000:\nnogroup:x:65534:\n",
		"etc/machine-id":  "0123456789abcdef0123456789abcdef\n",
		"etc/hostname":    "guest\n",
		"etc/subuid":      "user:100000:65536\n",
		"etc/subgid":      "user:100000:65536\n",
		"etc/environment": "",
		// What the packages would make when they are installed.
		"etc/pam.d/systemd-user":      "auth required pam_permit.so\naccount required pam_permit.so\nsession required pam_permit.so\nsession required pam_systemd.so\n",
		"etc/pam.d/other":             "auth required pam_deny.so\naccount required pam_deny.so\nsession required pam_deny.so\n",
		"var/lib/systemd/linger/user": "",
		// Shown with -v, and when the machine ends too early.
		"etc/systemd/journald.conf": "[Journal]\nStorage=volatile\nForwardToConsole=yes\nMaxLevelConsole=warning\n",
		"etc/systemd/system/jobs.service": `[Unit]
Wants=user@1000.service dbus.service
After=user@1000.service dbus.service systemd-logind.service
SuccessAction=poweroff-force
FailureAction=poweroff-force
[Service]
Type=oneshot
ExecStart=` + job.Init + ` jobs
StandardOutput=tty
StandardError=tty
TTYPath=/dev/console
`,
	} {
		file := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o644)); err != nil {
			return err
		}
	}
	for link, target := range map[string]string{
		"etc/systemd/system/default.target":                                 "/lib/systemd/system/multi-user.target",
		"etc/systemd/system/multi-user.target.wants/jobs.service":           "/etc/systemd/system/jobs.service",
		"etc/systemd/system/getty.target":                                   "/dev/null",
		"etc/systemd/system/systemd-networkd-wait-online.service":           "/dev/null",
		"etc/systemd/system/systemd-firstboot.service":                      "/dev/null",
		"etc/systemd/system/dbus.service":                                   "/lib/systemd/system/dbus.service",
		"etc/systemd/system/sockets.target.wants/dbus.socket":               "/lib/systemd/system/dbus.socket",
		"etc/systemd/user/sockets.target.wants/dbus.socket":                 "/usr/lib/systemd/user/dbus.socket",
		"etc/systemd/system/dbus-org.freedesktop.login1.service":            "/lib/systemd/system/systemd-logind.service",
		"etc/systemd/system/multi-user.target.wants/systemd-logind.service": "/lib/systemd/system/systemd-logind.service",
	} {
		file := filepath.Join(root, link)
		err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.RemoveAll(file))
		if err := errors.Join(err, os.Symlink(target, file)); err != nil {
			return err
		}
	}
	return nil
}
