package security

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// An image may bring a /proc of its own, or a link in its place. What it leads to
// is inside, and what is dangerous in the kernel's /proc is hidden wherever that
// ends up.
func TestFakeProc(t *testing.T) {
	out := canary(t)
	const job = `COMPONENT c { image = "file://./root" command = ["/probe", "read", "%s/self/mountinfo"] job = true }`
	for _, test := range []struct{ name, link, proc string }{
		{"content", "", "/proc"},
		{"link out", out, out},
		{"link that climbs out", "../../../../../.." + out, out},
		{"link through what a mount hides", "/tmp/way/../../real", "/real"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newProject(t, fmt.Sprintf(job, test.proc))
			p.write(t, "root/proc/self/mountinfo", "fake")
			p.write(t, "root/proc/sys/kernel/core_pattern", "fake")
			p.write(t, "root/real/self/mountinfo", "fake")
			p.write(t, "root/tmp/way/file", "")
			if test.link != "" {
				p.link(t, test.link, "root/proc")
			}
			p.ctst(t, "run", "-d")
			masked(t, p.ctst(t, "logs", "c"), test.proc)
		})
	}
	t.Run("link into what a mount hides", func(t *testing.T) {
		p := newProject(t, fmt.Sprintf(job, "/proc"))
		p.link(t, "/tmp", "root/proc")
		said, err := p.try(t, "run", "-d")
		require.Error(t, err)
		require.Contains(t, said, "open /proc/self/mountinfo: no such file")
	})
}

// Devices are the engine's own, whatever the image has in their place.
func TestFakeDevices(t *testing.T) {
	out := canary(t)
	for name, links := range map[string]map[string]string{
		"/dev out":              {"dev": out},
		"/dev climbs out":       {"dev": "../../../.." + out},
		"/dev/null out":         {"dev/null": out + "/file"},
		"/dev/null to the core": {"dev/null": "/proc/sys/kernel/core_pattern"},
		"/dev/pts out":          {"dev/pts": out},
		"/sys out":              {"sys": out},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProject(t, `COMPONENT c { image = "file://./root" command = ["/probe", "write", "/dev/null", "word"] job = true }`)
			for at, target := range links {
				p.link(t, target, "root/"+at)
			}
			p.ctst(t, "run", "-d")
			require.Empty(t, p.ctst(t, "logs", "c"))
		})
	}
}

// Folders that a start needs are made inside, also where the image leads out.
func TestLinkedFolders(t *testing.T) {
	out := canary(t)
	p := newProject(t, fmt.Sprintf(`
COMPONENT folders {
    image = "file://./root"
    command = ["/probe", "write", "/data/new", "word"]
    volumes = ["data:/data/volume", "./share:/etc/link/share"]
    tmpfs = ["/data"]
    files = { "/etc/link/x" = "text", "%s/y" = "text" }
    job = true
}
COMPONENT dir { image = "file://./root" command = ["/probe", "nothing"] workdir = "/data" job = true }
COMPONENT descriptor { image = "file://./root" command = ["/probe", "nothing"] workdir = "/proc/self/fd/7" job = true }
`, out))
	p.link(t, out, "root/data")
	p.link(t, out+"-too", "root/etc/link")
	p.write(t, "share/file", "text")
	said, err := p.try(t, "run", "-d")
	require.Error(t, err)
	require.Regexp(t, `✔ folders +completed`, said)
	require.Regexp(t, `✔ dir +completed`, said)
	require.Contains(t, said, "sandbox: enter the working directory /proc/self/fd/7: ")
}

// What a container leaves in its own writable layer leads no later start out.
func TestPlantedLinks(t *testing.T) {
	out := canary(t)
	p := newProject(t, `
COMPONENT c {
    image = "file://./root"
    command = ["/probe", "wait"]
    readonly = false
    volumes = ["data:/data"]
    files = { "/etc/conf" = "one" }
    tmpfs = ["/data/inner"]
}
COMPONENT other { image = "file://./root" command = ["/probe", "wait"] volumes = ["data:/data"] }
`)
	p.ctst(t, "run", "-d")
	for _, name := range []string{"/etc/hosts", "/etc/resolv.conf", "/etc/hostname", "/etc/conf", "/probe-link"} {
		p.ctst(t, "exec", "c", "/probe", "link", out+"/file", name)
	}
	p.ctst(t, "stop")
	p.replace(t, `"one"`, `"two"`)
	p.ctst(t, "run", "-d")
	require.Contains(t, p.ctst(t, "exec", "c", "/probe", "see"), "/data/inner ")
	p.ctst(t, "stop", "c")

	// Another container of the volume puts a link where the mount was.
	p.ctst(t, "exec", "other", "/probe", "link", out, "/data/inner")
	said, err := p.try(t, "run", "-d")
	require.Error(t, err)
	require.Contains(t, said, "sandbox: mount /data/inner: no such file or directory")
}

// Who the image says that a user is can be wrong, but never a surprise.
func TestHostileUsers(t *testing.T) {
	for name, test := range map[string]struct{ user, passwd, want string }{
		"minus one":        {"evil", "evil:x:-1:0::/:\n", "no valid ids"},
		"4294967295":       {"4294967295", "", "not between 0 and 2147483647"},
		"4294967296":       {"4294967296", "", "not between 0 and 2147483647"},
		"overflow inside":  {"evil", "evil:x:4294967296:0::/:\n", "no valid ids"},
		"of the host":      {"evil", "evil:x:65536:0::/:\n", "65535"},
		"name is a number": {"1000", "1000:x:0:0::/:\n", ""},
		"huge":             {"guest", strings.Repeat("x:x:7:7::/:\n", 1<<20), "large"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProject(t, fmt.Sprintf(`COMPONENT c { image = "file://./root" command = ["/probe", "see"] user = "%s" job = true }`, test.user))
			p.write(t, "root/etc/passwd", test.passwd)
			said, err := p.try(t, "run", "-d")
			if test.want == "" {
				require.NoError(t, err, said)
				require.Contains(t, p.ctst(t, "logs", "c"), "ids: 1000 0 []\n")
				return
			}
			require.Error(t, err)
			require.Contains(t, said, test.want)
		})
	}
}
