package kerneltest

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// RequireRootless needs what an ordinary user's containers need: the programs
// newuidmap and newgidmap, and a kernel that makes user namespaces for everybody.
func RequireRootless(t testing.TB) {
	t.Helper()
	for _, program := range []string{"newuidmap", "newgidmap"} {
		if _, err := exec.LookPath(program); err != nil {
			Missing(t, "rootless", "needs %s, of the package uidmap", program)
		}
	}
	cmd := exec.Command("/bin/true")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER}
	if err := cmd.Run(); err != nil {
		Missing(t, "rootless", "needs user namespaces: %v", err)
	}
}

// AsUser runs the tests of this program that the pattern names once more, as an
// ordinary user with subordinate ids who is made for it and removed after. They
// run in dir, which becomes the user's with all that is in it, with more in
// their environment. It needs root, and useradd.
func AsUser(t testing.TB, dir, pattern string, env ...string) {
	t.Helper()
	asUser(t, true, dir, pattern, env...)
}

// AsUserAlone is AsUser for one who has no subordinate ids.
func AsUserAlone(t testing.TB, dir, pattern string, env ...string) {
	t.Helper()
	asUser(t, false, dir, pattern, env...)
}

func asUser(t testing.TB, subordinates bool, dir, pattern string, env ...string) {
	t.Helper()
	RequireRoot(t)
	RequireRootless(t)
	u := addUser(t)
	if !subordinates {
		takeSubordinates(t, u.Username)
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	if err1 != nil || err2 != nil {
		t.Fatalf("user %s has the ids %s and %s", u.Username, u.Uid, u.Gid)
	}
	program := filepath.Join(dir, "program.test")
	text, err := os.ReadFile("/proc/self/exe")
	if err == nil {
		err = os.WriteFile(program, text, 0o700)
	}
	if err == nil {
		err = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return os.Lchown(path, uid, gid)
		})
	}
	// The folders above must let the user pass.
	for above := filepath.Dir(dir); err == nil && above != filepath.Clean(os.TempDir()) && above != "/"; above = filepath.Dir(above) {
		err = os.Chmod(above, 0o711)
	}
	if err != nil {
		t.Fatal(err)
	}
	// Without -test.v only the tests that failed say what they did.
	cmd := exec.Command(program, "-test.run="+pattern, fmt.Sprintf("-test.v=%t", testing.Verbose()), "-test.timeout=5m")
	cmd.Dir = dir
	cmd.Env = append([]string{
		"HOME=" + u.HomeDir, "USER=" + u.Username, "PATH=" + os.Getenv("PATH"), "TMPDIR=" + dir,
		RequireEnv + "=" + os.Getenv(RequireEnv),
	}, env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	out, err := cmd.CombinedOutput()
	if testing.Verbose() {
		t.Logf("as user %s:\n%s", u.Username, out)
	}
	switch {
	case err != nil:
		t.Fatalf("the tests of user %s: %v\n%s", u.Username, err, out)
	case strings.Contains(string(out), "no tests to run"):
		t.Fatalf("%s names no test for user %s", pattern, u.Username)
	}
}

// addUser makes a user for the time of the test.
func addUser(t testing.TB) *user.User {
	t.Helper()
	if _, err := exec.LookPath("useradd"); err != nil {
		Missing(t, "rootless", "needs useradd")
	}
	name := fmt.Sprintf("ctst-test-%d", os.Getpid())
	if out, err := exec.Command("useradd", "--create-home", name).CombinedOutput(); err != nil {
		t.Fatalf("useradd: %v: %s", err, out)
	}
	t.Cleanup(func() {
		// Processes that end by themselves may take a moment.
		var out []byte
		var err error
		for range 100 {
			if out, err = exec.Command("userdel", "--remove", name).CombinedOutput(); err == nil {
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
		t.Errorf("userdel: %v: %s", err, out)
	})
	u, err := user.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// takeSubordinates takes the subordinate ids away that useradd gave.
func takeSubordinates(t testing.TB, name string) {
	t.Helper()
	for flag, file := range map[string]string{"--del-subuids": "/etc/subuid", "--del-subgids": "/etc/subgid"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			var first, count int
			if _, err := fmt.Sscanf(line, name+":%d:%d", &first, &count); err != nil {
				continue // somebody else's
			}
			if out, err := exec.Command("usermod", flag, fmt.Sprintf("%d-%d", first, first+count-1), name).CombinedOutput(); err != nil {
				t.Fatalf("usermod: %v: %s", err, out)
			}
		}
	}
}
