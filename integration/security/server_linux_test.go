package security

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/core/kerneltest"
)

// Entry points that start as root, give folders away and become somebody else
// work with docker's capabilities, keep none of them, and fail without.
func TestEntryPoints(t *testing.T) {
	p := newProject(t, `
COMPONENT docker {
    image = "file://./root"
    command = ["/probe", "entry", "1000", "1000", "/data", "/var/lib/app"]
    capabilities = ["docker"]
    readonly = false
    tmpfs = ["/data"]
    job = true
}
COMPONENT bare {
    image = "file://./root"
    command = ["/probe", "entry", "1000", "1000", "/data"]
    tmpfs = ["/data"]
    job = true
}`)
	said, err := p.try(t, "run", "-d")
	require.Error(t, err)
	require.Contains(t, said, "chown /data: operation not permitted")
	require.Regexp(t, `✔ docker +completed`, said)
	seen := p.ctst(t, "logs", "docker")
	require.Contains(t, seen, "ids: 1000 1000 [1000]\n")
	for _, set := range []string{"Prm", "Eff", "Inh", "Amb"} {
		require.Contains(t, seen, "status: Cap"+set+":\t0000000000000000\n")
	}
}

// packages are what the servers need of Debian.
var packages = []string{
	"libc6", "libcrypt1", "zlib1g", "libssl3", "libpcre2-8-0", "nginx",
	"libgcc-s1", "libatomic1", "libstdc++6", "libjemalloc2", "libhiredis0.14", "liblua5.1-0", "liblzf1", "lua-cjson", "lua-bitop",
	"libsystemd0", "libcap2", "libgcrypt20", "libgpg-error0", "liblz4-1", "liblzma5", "libzstd1", "redis-tools", "redis-server",
}

// debian unpacks the packages into a root file system. They are kept for the
// next time.
func debian(t *testing.T, root string) {
	t.Helper()
	cache, err := os.UserCacheDir()
	require.NoError(t, err)
	dir := filepath.Join(cache, "containust-test", "debian-12")
	require.NoError(t, os.MkdirAll(dir, 0o755))
	for _, name := range packages {
		if found, err := filepath.Glob(filepath.Join(dir, name+"_*.deb")); err != nil || len(found) == 0 {
			cmd := exec.CommandContext(t.Context(), "apt-get", "download", "-q", name)
			cmd.Dir = dir
			if out, err := cmd.CombinedOutput(); err != nil {
				kerneltest.Missing(t, "debian", "needs the package %s of Debian 12: %v: %s", name, err, out)
			}
		}
		found, err := filepath.Glob(filepath.Join(dir, name+"_*.deb"))
		require.NoError(t, err)
		require.NotEmpty(t, found, name)
		out, err := exec.Command("dpkg", "-x", found[0], root).CombinedOutput()
		require.NoError(t, err, string(out))
	}
}

// Servers as their packages have them listen on their usual ports and write to
// /dev/stdout as ordinary users, with no capability.
func TestServers(t *testing.T) {
	var ports [2]int
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		ports[i] = l.Addr().(*net.TCPAddr).Port
		require.NoError(t, l.Close())
	}
	p := newProject(t, fmt.Sprintf(`
COMPONENT nginx {
    image = "file://./root"
    command = ["nginx", "-g", "daemon off;"]
    user = "www-data"
    files = { "/etc/nginx/nginx.conf" = """
        error_log /dev/stderr;
        pid /run/nginx.pid;
        events {}
        http {
            access_log /dev/stdout;
            client_body_temp_path /tmp/body; proxy_temp_path /tmp/proxy; fastcgi_temp_path /tmp/fastcgi;
            uwsgi_temp_path /tmp/uwsgi; scgi_temp_path /tmp/scgi;
            server { listen 80; location / { return 200 "from nginx"; } }
        }
    """ }
}
COMPONENT redis {
    image = "file://./root"
    command = ["redis-server", "--logfile", "/dev/stdout", "--dir", "/tmp", "--protected-mode", "no"]
    user = "redis"
}
EXPOSE %d:80 TO nginx
EXPOSE %d:6379 TO redis
`, ports[0], ports[1]))
	debian(t, p.path("root"))
	p.write(t, "root/etc/passwd", "www-data:x:33:33::/var/www:/bin/sh\nredis:x:110:110::/var/lib/redis:/bin/sh\n")
	p.ctst(t, "run", "-d")

	client := http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	require.Eventually(t, func() bool {
		answer, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d/", ports[0]))
		if err != nil {
			return false
		}
		text, err := io.ReadAll(answer.Body)
		return answer.Body.Close() == nil && err == nil && string(text) == "from nginx"
	}, 20*time.Second, 50*time.Millisecond)
	require.Eventually(t, func() bool {
		c, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", ports[1]), time.Second)
		if err != nil {
			return false
		}
		defer c.Close()
		if _, err := c.Write([]byte("PING\r\n")); err != nil {
			return false
		}
		answer := make([]byte, len("+PONG\r\n"))
		_, err = io.ReadFull(c, answer)
		return err == nil && string(answer) == "+PONG\r\n"
	}, 20*time.Second, 50*time.Millisecond)
	for name, line := range map[string]string{"nginx": `"GET / HTTP/1.1" 200`, "redis": "Ready to accept connections"} {
		require.Eventually(t, func() bool {
			return strings.Contains(p.ctst(t, "logs", name), line)
		}, 20*time.Second, 100*time.Millisecond, "%s writes to /dev/stdout", name)
	}
	for _, name := range []string{"nginx", "redis"} {
		require.Contains(t, p.proc(t, name, "status"), "CapEff:\t0000000000000000\n")
	}
}
