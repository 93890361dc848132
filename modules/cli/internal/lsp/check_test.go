package lsp_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/cli/internal/lsp"
	"github.com/containust/containust/modules/lang/fetch"
	"github.com/containust/containust/modules/lang/lock"
)

func TestDiagnosticsFollowTheText(t *testing.T) {
	c := start(t, lsp.Options{}, nil, map[string]string{"templates/pg.ctst": template})
	good := strings.Replace(root, "    im\n", "", 1)
	c.open("app.ctst", good)
	c.wait("app.ctst", 1)
	c.replace("app.ctst", 2, strings.ReplaceAll(good, "env ", "evn "))
	p := c.wait("app.ctst", 2, "CT204")
	require.Equal(t, "unknown property \"evn\": did you mean \"env\"?", p.Diagnostics[0].Message)
	c.replace("app.ctst", 3, good)
	c.wait("app.ctst", 3)
	c.replace("app.ctst", 4, good+"LET unused = 1\n")
	p = c.wait("app.ctst", 4, "CT316")
	require.Equal(t, 2, p.Diagnostics[0].Severity)
	require.Equal(t, []int{1}, p.Diagnostics[0].Tags)
	c.replace("app.ctst", 5, good+"COMPONENT db {}\n")
	p = c.wait("app.ctst", 5, "CT301")
	require.Equal(t, c.uri("app.ctst"), p.Diagnostics[0].Related[0].Location.URI)
	require.Equal(t, rng{pos{4, 10}, pos{4, 12}}, p.Diagnostics[0].Related[0].Location.Range)
	c.close("app.ctst")
	c.wait("app.ctst", 0)
	c.leave()
}

// What is imported over the network is known when a command has fetched it, and
// is no error before that.
func TestImportsComeFromTheCache(t *testing.T) {
	const url, text = "https://example.org/t.ctst", "COMPONENT t() { image = \"image://x\" }\n"
	src := "IMPORT \"" + url + "\"\nCOMPONENT a FROM t\n"
	digest := fetch.Digest([]byte(text))
	cache := t.TempDir()
	c := start(t, lsp.Options{CacheDir: cache}, nil, map[string]string{lock.Name: `{"version": 1, "imports": {"` + url + `": "sha256:` + digest + `"}}`})
	c.open("app.ctst", src)
	p := c.wait("app.ctst", 1, "CT607")
	require.Equal(t, 3, p.Diagnostics[0].Severity)

	dir := filepath.Join(cache, "imports", "sha256")
	require.NoError(t, os.MkdirAll(dir, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, digest), []byte(text), 0o600))
	c.replace("app.ctst", 2, src+"\n")
	c.wait("app.ctst", 2)
	c.leave()
}

// Whatever is published while somebody types is about the text of the version
// that it names, and the last is about the last.
func TestPublishedVersions(t *testing.T) {
	c := start(t, lsp.Options{}, nil, nil)
	c.open("app.ctst", "")
	c.wait("app.ctst", 1)
	// The place of a version's one mistake.
	place := func(version int) int { return version % 7 }
	for version := 2; version <= 60; version++ {
		c.replace("app.ctst", version, strings.Repeat("\n", place(version))+"COMPONENT a { image = \"file://x\" prot = 1 }\n")
		if version%20 == 0 {
			time.Sleep(200 * time.Millisecond) // so that some are checked
		}
	}
	c.wait("app.ctst", 60, "CT204")
	c.mu.Lock()
	defer c.mu.Unlock()
	require.Less(t, len(c.history), 59)
	for _, p := range c.history {
		for _, d := range p.Diagnostics {
			require.Equal(t, place(int(*p.Version)), d.Range.Start.Line, "version %d", *p.Version)
		}
	}
}

// A check during which somebody types is given up, and what it found is told
// nobody.
func TestStaleResultsAreDropped(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	c := start(t, lsp.Options{LookupEnv: func(string) (string, bool) {
		once.Do(func() {
			close(entered)
			<-release
		})
		return "", false
	}}, nil, nil)
	c.open("app.ctst", "COMPONENT a { image = \"${env.X}\" }\nCONNECT a -> a")
	<-entered
	c.replace("app.ctst", 2, "COMPONENT a { image = \"file://x\" prot = 1 }")
	c.call("textDocument/documentSymbol", object{"textDocument": object{"uri": c.uri("app.ctst")}}, nil) // the change has been seen
	close(release)
	c.wait("app.ctst", 2, "CT204")
	c.mu.Lock()
	defer c.mu.Unlock()
	require.Len(t, c.history, 1)
}

// What a file imports is checked with it: as it is in the editor where it is
// open there, else as it is on disk.
func TestDiagnosticsOfImports(t *testing.T) {
	broken := strings.Replace(template, "image =", "imgae =", 1)
	c := start(t, lsp.Options{}, nil, map[string]string{"templates/pg.ctst": broken})
	good := strings.Replace(root, "    im\n", "", 1)
	c.open("app.ctst", good)
	c.wait("app.ctst", 1)
	p := c.wait("templates/pg.ctst", 0, "CT204")
	require.Equal(t, rng{pos{1, 4}, pos{1, 9}}, p.Diagnostics[0].Range)

	c.open("templates/pg.ctst", template)
	c.wait("templates/pg.ctst", 1)
	c.replace("templates/pg.ctst", 2, strings.ReplaceAll(template, "port", "gate"))
	c.wait("app.ctst", 1, "CT313")
	c.wait("templates/pg.ctst", 2, "CT204")

	// Without its root it is looked at alone, and then again on disk.
	c.close("app.ctst")
	c.wait("app.ctst", 0)
	c.wait("templates/pg.ctst", 2, "CT204")
	c.open("app.ctst", good)
	c.wait("app.ctst", 1, "CT313")
	c.close("templates/pg.ctst")
	c.wait("templates/pg.ctst", 0, "CT204")
	c.wait("app.ctst", 1)

	c.write("templates/pg.ctst", template)
	c.notify("workspace/didChangeWatchedFiles", object{"changes": []object{}})
	c.wait("templates/pg.ctst", 0)
	require.NoError(t, os.Remove(filepath.Join(c.dir, "templates/pg.ctst")))
	c.notify("textDocument/didSave", object{"textDocument": object{"uri": c.uri("app.ctst")}})
	c.wait("app.ctst", 1, "CT330")
	c.leave()
}

// Two roots that import one file tell its mistake once, until the last of them
// is closed.
func TestSharedImport(t *testing.T) {
	c := start(t, lsp.Options{}, nil, map[string]string{"t.ctst": "COMPONENT t(a = 1) { imgae = \"x\" }\n"})
	for _, name := range []string{"a.ctst", "b.ctst"} {
		c.open(name, "IMPORT \"t.ctst\"\nCOMPONENT c FROM t { image = \"file://x\" }")
		c.wait(name, 1)
	}
	c.wait("t.ctst", 0, "CT204")
	c.close("a.ctst")
	c.wait("a.ctst", 0)
	c.wait("t.ctst", 0, "CT204")
	c.close("b.ctst")
	c.wait("t.ctst", 0)
	c.leave()
}

// A file of templates that is open alone lacks nothing that only a deployment
// needs.
func TestLibraryAlone(t *testing.T) {
	c := start(t, lsp.Options{}, nil, nil)
	c.open("base \"$x.ctst", "COMPONENT base { memory = \"1GB\" }\nCOMPONENT t(size) { memory = \"${param.size}\" image = \"${env.IMAGE}\" }\n")
	c.wait("base \"$x.ctst", 1)
	c.open("other.ctst", "COMPONENT base { memory = \"1TB\" prot = 1 }")
	c.wait("other.ctst", 1, "CT204")
	// A name that no import could have.
	c.open("odd\u200f.ctst", "COMPONENT base { memory = \"1GB\" }\n")
	c.wait("odd\u200f.ctst", 1)
	// The same that something else shows to be a root.
	c.open("root.ctst", "COMPONENT base { memory = \"1GB\" }\nCONNECT base -> base")
	c.wait("root.ctst", 1, "CT203", "CT505")
	c.leave()
	for uri := range c.published {
		require.True(t, strings.HasSuffix(uri, ".ctst"), uri)
	}
}

// Files that import each other are an error of one of them.
func TestImportCircle(t *testing.T) {
	c := start(t, lsp.Options{}, nil, nil)
	c.open("a.ctst", "IMPORT \"b.ctst\"\n")
	c.open("b.ctst", "IMPORT \"a.ctst\"\n")
	c.wait("b.ctst", 1, "CT331")
	c.wait("a.ctst", 1)
	c.leave()
}

// What is not set here may be set where it is deployed.
func TestEnvironmentIsInformation(t *testing.T) {
	text := `COMPONENT a {
    image = "file://x"
    port  = "${env.PORT}"
    env   = { A = "${env.NOT_SET}", B = "${secret.none}", C = "${secret.here}", D = "${secret.there}" }
}
`
	c := start(t, lsp.Options{LookupEnv: func(name string) (string, bool) {
		return "80", name == "PORT" || name == "CONTAINUST_SECRET_THERE"
	}}, nil, map[string]string{".containust/secrets/here": "x"})
	c.open("app.ctst", text)
	p := c.wait("app.ctst", 1, "CT601", "CT602")
	for _, d := range p.Diagnostics {
		require.Equal(t, 3, d.Severity)
	}
	c.leave()
}

// A document without a file is checked too; its imports are where the server
// runs.
func TestUntitled(t *testing.T) {
	c := start(t, lsp.Options{}, nil, nil)
	c.notify("textDocument/didOpen", object{"textDocument": object{"uri": "untitled:Untitled-1", "version": 1, "text": "IMPORT \"no.ctst\"\nCOMPONENT a { prot = 1 }\nCONNECT a -> b"}})
	deadline := time.Now().Add(patience)
	for {
		c.mu.Lock()
		p := c.published["untitled:Untitled-1"]
		c.mu.Unlock()
		if len(p.Diagnostics) > 0 {
			require.Equal(t, []string{"CT330", "CT204"}, codesOf(p)[:2])
			break
		}
		require.True(t, time.Now().Before(deadline))
		time.Sleep(10 * time.Millisecond)
	}
	c.leave()
}

// What is no file is not opened: a pipe would never answer.
func TestImportOfAFolder(t *testing.T) {
	c := start(t, lsp.Options{}, nil, map[string]string{"dir.ctst/x": ""})
	c.open("app.ctst", "IMPORT \"dir.ctst\"\nCOMPONENT a FROM dir")
	p := c.wait("app.ctst", 1, "CT330")
	require.Contains(t, p.Diagnostics[0].Message, "not a regular file")
	c.leave()
}

// Each round is one key of somebody who types in a file of 10,000 components,
// and the completion that the editor asks for.
func BenchmarkTyping(b *testing.B) {
	var text strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&text, "COMPONENT component-%d {\n    image = \"file://./root\"\n    port  = %d\n    env   = { NAME = \"${self.name}\" }\n}\n", i, 1+i%60000)
	}
	text.WriteString("CONNECT component-1 -> ")
	lines := strings.Count(text.String(), "\n")
	c := start(b, lsp.Options{}, everything, nil)
	c.open("app.ctst", text.String())
	version := 1
	for b.Loop() {
		version++
		end := pos{lines, len("CONNECT component-1 -> ") + version - 2}
		c.notify("textDocument/didChange", object{
			"textDocument":   object{"uri": c.uri("app.ctst"), "version": version},
			"contentChanges": []object{{"range": rng{end, end}, "text": "c"}},
		})
		end.Character++
		c.call("textDocument/completion", object{"textDocument": object{"uri": c.uri("app.ctst")}, "position": end}, nil)
	}
}
