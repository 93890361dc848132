package rootless_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/containust/containust/modules/core/kerneltest"
	"github.com/containust/containust/modules/core/namespace"
	"github.com/containust/containust/modules/core/rootless"
)

// roleEnv says what this program is to do, when Run has started it.
const roleEnv = "ROOTLESS_TEST_ROLE"

func TestMain(m *testing.M) {
	role, ok := os.LookupEnv(roleEnv)
	if !ok {
		os.Exit(kerneltest.Main(m, kerneltest.Leaks{}))
	}
	if err := play(role); err != nil {
		fmt.Fprintln(os.Stderr, role+":", err)
		os.Exit(1)
	}
}

// play is what runs inside.
func play(role string) error {
	switch role {
	case "code":
		os.Exit(7)
	case "signal":
		return unix.Kill(os.Getpid(), unix.SIGKILL)
	case "identity":
		own, err := namespace.Current(namespace.User)
		if err != nil {
			return err
		}
		id, err := namespace.Identify(own)
		fmt.Println(id)
		return err
	case "note": // and stay until the input ends
		if err := rootless.Note(os.Getenv("NOTE")); err != nil {
			return err
		}
		fmt.Println("noted")
		_, err := io.Copy(io.Discard, os.Stdin)
		return err
	case "enter": // Run, from a process of its own
		return run("note", rootless.Options{})
	case "join":
		return run("identity", rootless.Options{Join: os.Getenv("NOTE")})
	case "power":
		return power()
	}
	return fmt.Errorf("no role %q", role)
}

// run plays another role inside.
func run(role string, opts rootless.Options) error {
	env := []string{roleEnv + "=" + role, "NOTE=" + os.Getenv("NOTE")}
	exit, err := rootless.Run(context.Background(), []string{"/proc/self/exe"}, env, opts)
	if err == nil && exit.Code != 0 {
		err = fmt.Errorf("exit code %d", exit.Code)
	}
	return err
}

// power fails unless this process is root of a namespace, and of no more.
func power() error {
	inside, err := rootless.Inside()
	if err != nil || !inside || rootless.Needed() {
		return fmt.Errorf("inside: %v, %w", inside, err)
	}
	dir, err := os.MkdirTemp("", "power")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a test's folder
	if err := unix.Mount("none", dir, "tmpfs", 0, ""); err != nil {
		return fmt.Errorf("mount: %w", err)
	}
	if err := unix.Unmount(dir, 0); err != nil {
		return err
	}
	// A subordinate id's file can be made and removed.
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		return err
	}
	if err := os.Chown(file, 1000, 1000); err != nil {
		return fmt.Errorf("chown: %w", err)
	}
	// The machine's root is nobody here.
	var st unix.Stat_t
	if err := unix.Stat("/etc/shadow", &st); err != nil {
		return err
	}
	if st.Uid != 65534 {
		return fmt.Errorf("/etc/shadow belongs to %d", st.Uid)
	}
	if _, err := os.ReadFile("/etc/shadow"); !errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("/etc/shadow can be read: %w", err)
	}
	return os.Remove(file)
}

func TestRun(t *testing.T) {
	if os.Geteuid() == 0 {
		kerneltest.AsUser(t, t.TempDir(), "^TestRun$")
		return
	}
	kerneltest.RequireRootless(t)
	for role, want := range map[string]int{"power": 0, "code": 7, "signal": 137} {
		exit, err := rootless.Run(t.Context(), []string{"/proc/self/exe"}, append(os.Environ(), roleEnv+"="+role), rootless.Options{})
		require.NoError(t, err, role)
		require.Equal(t, want, exit.Code, role)
	}
	_, err := rootless.Run(t.Context(), []string{"/nowhere"}, nil, rootless.Options{})
	require.ErrorContains(t, err, "/nowhere")
}

// A namespace that was noted is joined while somebody lives in it.
func TestJoin(t *testing.T) {
	if os.Geteuid() == 0 {
		kerneltest.AsUser(t, t.TempDir(), "^TestJoin$")
		return
	}
	kerneltest.RequireRootless(t)
	noteFile := filepath.Join(t.TempDir(), "note")
	holder := exec.Command("/proc/self/exe")
	holder.Env = append(os.Environ(), roleEnv+"=enter", "NOTE="+noteFile)
	holder.Stderr = os.Stderr
	in, err := holder.StdinPipe()
	require.NoError(t, err)
	out, err := holder.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, holder.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "noted\n", line)

	identity := func(join string) string {
		cmd := exec.Command("/proc/self/exe", join)
		cmd.Env = append(os.Environ(), roleEnv+"=join", "NOTE="+join)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
		return string(out)
	}
	noted := identity(noteFile)
	require.Equal(t, noted, identity(noteFile))
	require.NotEqual(t, noted, identity(""), "not asked for")
	require.NoError(t, in.Close())
	require.NoError(t, holder.Wait())
	require.NotEqual(t, noted, identity(noteFile), "nobody lives there any more")

	require.NoError(t, os.WriteFile(noteFile, []byte("{"), 0o600))
	_, err = rootless.Run(t.Context(), []string{"/proc/self/exe"}, nil, rootless.Options{Join: noteFile})
	require.ErrorContains(t, err, noteFile)
}
