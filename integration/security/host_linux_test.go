package security

import (
	"context"
	"crypto/sha256"
	"debug/elf"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/sdk/native"
)

// longEnv makes the tests that race go on for longer; make test-long sets it.
const longEnv = "CTST_TEST_LONG"

// rounds is how often something is tried that races: a fifth of what is usual
// where tests are short, as on a slow machine.
func rounds(usual, long int) int {
	switch {
	case os.Getenv(longEnv) != "":
		return long
	case testing.Short():
		return usual / 5
	}
	return usual
}

// While commands run inside, a container meets neither the engine's program nor
// its memory.
func TestEngineIsOutOfReach(t *testing.T) {
	p := newProject(t, `COMPONENT c { image = "file://./root" command = ["/probe", "hunt"] capabilities = ["docker", "SYS_PTRACE"] }`)
	engine := sum(t, ctst(t))
	p.ctst(t, "run", "-d")
	for range rounds(50, 2000) {
		p.ctst(t, "exec", "c", "/probe", "nothing")
	}
	p.ctst(t, "stop")
	require.Equal(t, "ready\nlooks: true\n", p.ctst(t, "logs", "c"))
	require.Equal(t, engine, sum(t, ctst(t)))
}

func sum(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	require.NoError(t, err)
	return fmt.Sprintf("%x", sha256.Sum256(text))
}

// One container turns a folder of a shared volume into a link out and back while
// another starts again and again that has a mount there.
func TestSwappedVolume(t *testing.T) {
	out := canary(t)
	p := newProject(t, "")
	p.write(t, "root/data/inner/file", "") // what a new volume holds
	p.link(t, out, "root/data/link")
	b, err := native.Open(t.Context(), native.Options{
		Project: "swapped-" + filepath.Base(out), StateDir: p.path("state"), RunDir: p.path("run"),
	})
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx := context.Background()
		require.NoError(t, b.Stop(ctx, "swapper", container.StopOptions{Timeout: -1}))
		require.NoError(t, errors.Join(b.Release(ctx), b.Close()))
	})
	create := func(name string, tmpfs []container.Mount, args ...string) {
		_, err := b.Create(t.Context(), container.Config{
			Name: name, Args: args, ReadOnly: true, Network: container.Network{Mode: container.NetworkNone},
			Layers: []container.Layer{{Digest: "sha256:" + strings.Repeat("0", 64), Path: p.path("root")}},
			Mounts: append(tmpfs, container.Mount{Kind: container.MountVolume, Source: "data", Target: "/data"}),
		})
		require.NoError(t, err)
	}
	create("c", []container.Mount{{Kind: container.MountTmpfs, Target: "/data/inner"}}, "/probe", "write", "/data/inner/new", "word")
	create("swapper", nil, "/probe", "swap", "/data/inner", "/data/link")
	_, err = b.Start(t.Context(), "swapper")
	require.NoError(t, err)

	mounted, missed := 0, 0
	for range rounds(200, 1000) {
		if _, err := b.Start(t.Context(), "c"); err != nil {
			require.ErrorContains(t, err, "mount /data/inner: no such file or directory")
			missed++
			continue
		}
		mounted++
		_, err := b.Wait(t.Context(), "c") // what it writes may meet the link
		require.NoError(t, err)
	}
	require.NotZero(t, mounted, "it was never a folder")
	require.NotZero(t, missed, "it was never a link")
}

// Of an image nothing runs or is loaded outside: the command is a static
// program, and runs none but itself.
func TestNothingOfTheImageRunsOutside(t *testing.T) {
	program, err := elf.Open(ctst(t))
	require.NoError(t, err)
	defer program.Close()
	for _, part := range program.Progs {
		require.NotEqual(t, elf.PT_INTERP, part.Type, "the command is loaded by a dynamic linker")
	}

	p := newProject(t, `COMPONENT c { image = "file://./root" command = ["/probe", "wait"] }`)
	out := canary(t)
	marker := "#!/bin/sh\necho ran >" + out + "/ran\n"
	var path []string
	for _, dir := range []string{"bin", "sbin", "usr/bin", "usr/sbin", "usr/local/bin"} {
		path = append(path, p.path("root/"+dir))
		for _, name := range []string{
			"sh", "tar", "gzip", "unpigz", "xz", "zstd", "ip", "nft", "iptables", "ip6tables", "mount", "umount",
			"newuidmap", "newgidmap", "modprobe", "id", "getent", "ldd", "ldconfig", "ctst", "git", "ssh", "systemctl", "sysctl",
		} {
			p.write(t, "root/"+dir+"/"+name, marker)
			require.NoError(t, os.Chmod(p.path("root/"+dir+"/"+name), 0o755))
		}
	}
	p.write(t, "root/lib/libnss_files.so.2", "no library")
	p.write(t, "root/etc/nsswitch.conf", "passwd: evil\n")
	// As if the image's folders came first on the host.
	p.env = append(p.env, "PATH="+strings.Join(path, ":"), "LD_LIBRARY_PATH="+p.path("root/lib"), "LD_PRELOAD="+p.path("root/lib/libnss_files.so.2"))
	p.ctst(t, "run", "-d")
	p.ctst(t, "exec", "c", "/probe", "nothing")
	p.ctst(t, "stop")
}

// Others of this machine get nowhere near a project: no socket without a path,
// no folder that they may enter, and the supervisor does not answer them.
func TestOtherUsers(t *testing.T) {
	before := abstractSockets(t)
	p := newProject(t, `COMPONENT c { image = "file://./root" command = ["/probe", "wait"] }`)
	p.ctst(t, "run", "-d")
	require.Equal(t, before, abstractSockets(t))

	for _, dir := range []string{p.path(".containust"), p.path(".cache"), "/run/containust"} {
		info, err := os.Stat(dir)
		require.NoError(t, err)
		require.Equal(t, fs.FileMode(0o700), info.Mode().Perm(), dir)
	}
	socket := p.path(".containust/run/supervisor.sock")
	info, err := os.Stat(socket)
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o600), info.Mode().Perm())

	// Also when somebody opened the way.
	for _, dir := range []string{filepath.Dir(filepath.Dir(p.dir)), filepath.Dir(p.dir), p.dir, p.path(".containust"), p.path(".containust/run")} {
		require.NoError(t, os.Chmod(dir, 0o755))
	}
	require.ErrorContains(t, asNobody(probe(t), "connect", socket), "permission denied")
	require.NoError(t, os.Chmod(socket, 0o666))
	require.ErrorContains(t, asNobody(ctst(t), "-f", p.path("x.ctst"), "ps"), "x")
}

// asNobody runs a program as a user without any rights.
func asNobody(args ...string) error {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

func abstractSockets(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("/proc/net/unix")
	require.NoError(t, err)
	var names []string
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) == 8 && strings.HasPrefix(fields[7], "@") {
			names = append(names, fields[7])
		}
	}
	return names
}

// A port is open on the loopback address, unless the file names another.
func TestPortsAreLocal(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	port := l.Addr().(*net.TCPAddr).Port
	require.NoError(t, l.Close())
	p := newProject(t, fmt.Sprintf(`
COMPONENT c { image = "file://./root" command = ["/probe", "listen", ":80"] }
EXPOSE %d:80 TO c
`, port))
	p.ctst(t, "run", "-d")
	dial := func(host string) error {
		c, err := net.DialTimeout("tcp", net.JoinHostPort(host, strconv.Itoa(port)), time.Second)
		if err == nil {
			err = c.Close()
		}
		return err
	}
	require.Eventually(t, func() bool { return dial("127.0.0.1") == nil }, 10*time.Second, 10*time.Millisecond)
	addresses, err := net.InterfaceAddrs()
	require.NoError(t, err)
	others := 0
	for _, a := range addresses {
		if ip := a.(*net.IPNet).IP; !ip.IsLoopback() && !ip.IsLinkLocalUnicast() {
			others++
			require.Error(t, dial(ip.String()), ip)
		}
	}
	require.NotZero(t, others)
}

// A secret is in the container and in the records of the running project in
// memory, which only root may read, and nowhere else.
func TestSecretsStayAway(t *testing.T) {
	const secret = "correct-horse-battery"
	p := newProject(t, `
COMPONENT c {
    image = "file://./root"
    command = ["/probe", "wait"]
    env = { TOKEN = "${secret.token}" }
    files = { "/run/token" = "key=${secret.token}" }
}`)
	p.env = append(p.env, "CONTAINUST_SECRET_TOKEN="+secret)
	said, err := p.try(t, "--log-level", "debug", "run", "-d")
	require.NoError(t, err, said)
	outputs := map[string]string{"run": said}
	for _, args := range [][]string{
		{"plan"}, {"plan", "--json"}, {"plan", "-o", "saved.plan"}, {"ps", "--all", "--json"}, {"logs"}, {"graph"}, {"validate"},
	} {
		said, err := p.try(t, args...)
		require.NoError(t, err, said)
		outputs[strings.Join(args, " ")] = said
	}
	require.Contains(t, p.ctst(t, "exec", "c", "/probe", "see"), secret, "it never was there")
	require.Equal(t, "key="+secret, p.ctst(t, "exec", "c", "/probe", "read", "/run/token"))
	// JSON has the content of a file in base64.
	forms := []string{secret, base64.StdEncoding.EncodeToString([]byte("key=" + secret))}
	for what, said := range outputs {
		for _, form := range forms {
			require.NotContains(t, said, form, what)
		}
	}
	noSecret := func(root string) {
		require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for _, form := range forms {
				require.NotContains(t, string(text), form, path)
			}
			return nil
		}))
	}
	noSecret(p.dir)
	p.ctst(t, "stop")
	noSecret(p.dir)
}

// What others wrote reaches a terminal with its control characters shown.
func TestControlCharacters(t *testing.T) {
	p := newProject(t, "COMPONENT c { image = \"file://./evil\x1b[2J\" command = [\"/probe\", \"nothing\"] }\n")
	for _, args := range [][]string{{"validate"}, {"plan"}, {"run", "-d"}, {"graph"}, {"fmt", "--check"}} {
		said, _ := p.try(t, args...)
		require.NotContains(t, said, "\x1b", args)
	}
}

// Of twenty containers of two projects no two have a user id in common, nor one
// that anybody of the machine has.
func TestIDsAreNobodyElses(t *testing.T) {
	var file strings.Builder
	for i := range 10 {
		fmt.Fprintf(&file, "COMPONENT c%d { image = \"file://./root\" command = [\"/probe\", \"wait\"] }\n", i)
	}
	taken := map[int]string{}
	for i := range 2 {
		p := newProject(t, file.String())
		p.ctst(t, "run", "-d")
		for _, c := range p.all(t) {
			for _, kind := range []string{"uid_map", "gid_map"} {
				var inside, first, count int
				_, err := fmt.Sscan(p.proc(t, c.ID, kind), &inside, &first, &count)
				require.NoError(t, err)
				require.Equal(t, []int{0, 65536}, []int{inside, count})
				require.GreaterOrEqual(t, first, 524288)
				require.Zero(t, first%65536, "ranges that begin anywhere could overlap")
				name := fmt.Sprintf("%d of project %d", first, i)
				if kind == "uid_map" {
					require.NotContains(t, taken, first, name)
				}
				taken[first] = name
			}
		}
	}
	require.Len(t, taken, 20)
}
