package lsp_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creachadair/jrpc2"
	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/cli/internal/lsp"
	"github.com/containust/containust/modules/lang/diag"
)

const template = `COMPONENT server(port: int = 5432) {
    image = "image://postgres:16"
    port  = "${param.port}"
}
`

const root = `IMPORT "templates/pg.ctst"

LET tag = "1.4"

COMPONENT db FROM pg.server(port = 5433)
COMPONENT api {
    image = "image://api:${let.tag}"
    env   = { DB = "${db.host}" }
    im
}
CONNECT api -> db
`

// everything is what a modern editor can do.
var everything = object{
	"general":   object{"positionEncodings": []string{"utf-16"}},
	"workspace": object{"workspaceEdit": object{"documentChanges": true}},
	"textDocument": object{
		"completion":     object{"completionItem": object{"snippetSupport": true}},
		"hover":          object{"contentFormat": []string{"markdown", "plaintext"}},
		"documentSymbol": object{"hierarchicalDocumentSymbolSupport": true},
	},
}

type edit struct {
	Range   rng
	NewText string
}

// narrower is a formatter that a test can follow: it takes a blank away.
func narrower(_ string, src []byte) ([]byte, diag.List) {
	if bytes.Contains(src, []byte("broken")) {
		return nil, diag.List{{Summary: "broken"}}
	}
	return bytes.ReplaceAll(src, []byte("  ="), []byte(" =")), nil
}

// A session of an editor, from its first word to the last.
func TestSession(t *testing.T) {
	c := connect(t, lsp.Options{Format: narrower, Version: "v9"})
	c.write("templates/pg.ctst", template)
	var hello struct {
		Capabilities map[string]any
		ServerInfo   struct{ Name, Version string }
	}
	c.call("initialize", object{"processId": nil, "rootUri": nil, "capabilities": everything}, &hello)
	require.Equal(t, "ctst", hello.ServerInfo.Name)
	require.Equal(t, "v9", hello.ServerInfo.Version)
	require.Equal(t, "utf-16", hello.Capabilities["positionEncoding"])
	require.Equal(t, true, hello.Capabilities["documentFormattingProvider"])
	c.notify("initialized", object{})

	c.open("app.ctst", root)
	p := c.wait("app.ctst", 1, "CT132", "CT204")
	require.Equal(t, rng{pos{8, 4}, pos{8, 6}}, p.Diagnostics[0].Range)
	require.Equal(t, 1, p.Diagnostics[0].Severity)

	var completions struct {
		IsIncomplete bool
		Items        []struct {
			Label, Detail, Documentation string
			Kind, InsertTextFormat       int
			TextEdit                     edit
		}
	}
	c.call("textDocument/completion", object{"textDocument": object{"uri": c.uri("app.ctst")}, "position": pos{8, 6}}, &completions)
	labels := []string{}
	for _, item := range completions.Items {
		labels = append(labels, item.Label)
		if item.Label == "memory" {
			require.Equal(t, edit{rng{pos{8, 4}, pos{8, 6}}, `memory = "$0"`}, item.TextEdit)
			require.Equal(t, 2, item.InsertTextFormat)
			require.Equal(t, `a size such as "256MiB"`, item.Detail)
			require.Contains(t, item.Documentation, "the most memory")
		}
	}
	require.Contains(t, labels, "memory")
	require.NotContains(t, labels, "env")

	var hover struct {
		Contents struct{ Kind, Value string }
		Range    rng
	}
	c.call("textDocument/hover", c.at("api -> d"), &hover)
	require.Equal(t, "markdown", hover.Contents.Kind)
	require.Contains(t, hover.Contents.Value, "```ctst\nCOMPONENT db FROM pg.server(port = 5433)\n```")
	require.Equal(t, rng{pos{10, 15}, pos{10, 17}}, hover.Range)

	c.call("textDocument/hover", c.at("imag"), &hover)
	require.Contains(t, hover.Contents.Value, `@sha256:\<64 hex\>`)

	var places []struct {
		URI   string
		Range rng
	}
	c.call("textDocument/definition", c.at("pg.serv"), &places)
	require.Len(t, places, 1)
	require.Equal(t, c.uri("templates/pg.ctst"), places[0].URI)
	require.Equal(t, rng{pos{0, 10}, pos{0, 16}}, places[0].Range)

	params := c.at("${d")
	params["context"] = object{"includeDeclaration": true}
	c.call("textDocument/references", params, &places)
	require.Len(t, places, 3)
	params["context"] = object{"includeDeclaration": false}
	c.call("textDocument/references", params, &places)
	require.Len(t, places, 2)

	var prepared struct {
		Range       rng
		Placeholder string
	}
	c.call("textDocument/prepareRename", c.at("${d"), &prepared)
	require.Equal(t, "db", prepared.Placeholder)
	require.Equal(t, rng{pos{7, 22}, pos{7, 24}}, prepared.Range)
	require.Contains(t, c.refused("textDocument/prepareRename", c.at("image")).Message, "can be renamed")

	params = c.at("pg.serv")
	params["newName"] = "postgres"
	var renamed struct {
		Changes         map[string][]edit
		DocumentChanges []struct {
			TextDocument struct {
				URI     string
				Version *int
			}
			Edits []edit
		}
	}
	c.call("textDocument/rename", params, &renamed)
	require.Empty(t, renamed.Changes)
	require.Len(t, renamed.DocumentChanges, 2)
	require.Equal(t, c.uri("app.ctst"), renamed.DocumentChanges[0].TextDocument.URI)
	require.Equal(t, 1, *renamed.DocumentChanges[0].TextDocument.Version)
	require.Equal(t, []edit{{rng{pos{4, 21}, pos{4, 27}}, "postgres"}}, renamed.DocumentChanges[0].Edits)
	require.Nil(t, renamed.DocumentChanges[1].TextDocument.Version)
	require.Equal(t, []edit{{rng{pos{0, 10}, pos{0, 16}}, "postgres"}}, renamed.DocumentChanges[1].Edits)
	params["newName"] = "self"
	failure := c.refused("textDocument/rename", params)
	require.EqualValues(t, -32803, failure.Code)
	require.Contains(t, failure.Message, `keeps the name "self"`)

	var symbols []struct {
		Name     string
		Kind     int
		Children []struct{ Name string }
	}
	c.call("textDocument/documentSymbol", object{"textDocument": object{"uri": c.uri("app.ctst")}}, &symbols)
	require.Len(t, symbols, 4)
	require.Equal(t, "db", symbols[2].Name)

	var edits []edit
	c.call("textDocument/formatting", object{"textDocument": object{"uri": c.uri("app.ctst")}, "options": object{"tabSize": 4}}, &edits)
	require.Equal(t, []edit{{rng{pos{7, 0}, pos{8, 0}}, "    env  = { DB = \"${db.host}\" }\n"}}, edits)
	c.replace("app.ctst", 2, "broken  = 1")
	c.call("textDocument/formatting", object{"textDocument": object{"uri": c.uri("app.ctst")}}, &edits)
	require.Empty(t, edits)

	c.leave()
}

// A client that can do nothing gets plain answers.
func TestPlainClient(t *testing.T) {
	c := start(t, lsp.Options{}, nil, map[string]string{"templates/pg.ctst": template})
	c.open("app.ctst", root)
	var hover struct{ Contents struct{ Kind, Value string } }
	c.call("textDocument/hover", c.at("api -> d"), &hover)
	require.Equal(t, "plaintext", hover.Contents.Kind)
	require.True(t, strings.HasPrefix(hover.Contents.Value, "COMPONENT db FROM"))
	var completions struct {
		Items []struct {
			InsertTextFormat int
			TextEdit         edit
		}
	}
	c.call("textDocument/completion", object{"textDocument": object{"uri": c.uri("app.ctst")}, "position": pos{8, 6}}, &completions)
	for _, item := range completions.Items {
		require.Equal(t, 1, item.InsertTextFormat)
		require.NotContains(t, item.TextEdit.NewText, "$0")
	}
	params := c.at("${d")
	params["newName"] = "store"
	var renamed struct{ Changes map[string][]edit }
	c.call("textDocument/rename", params, &renamed)
	require.Len(t, renamed.Changes[c.uri("app.ctst")], 3)
	var symbols []struct {
		Name     string
		Location struct{ URI string }
	}
	c.call("textDocument/documentSymbol", object{"textDocument": object{"uri": c.uri("app.ctst")}}, &symbols)
	require.Equal(t, c.uri("app.ctst"), symbols[0].Location.URI)
	require.EqualValues(t, jrpc2.MethodNotFound, c.refused("textDocument/formatting", object{}).Code, "there is no formatter")
	c.leave()
}

// Code units are counted as agreed, also behind an emoji and in lines that end
// as on Windows.
func TestEncodings(t *testing.T) {
	text := "# 🦀🦀 é\r\nCOMPONENT a { image = \"image://🦀é\" prot = 1 }\r\n"
	for encoding, want := range map[string]rng{
		"utf-8":  {pos{1, 39}, pos{1, 43}},
		"utf-16": {pos{1, 36}, pos{1, 40}},
	} {
		t.Run(encoding, func(t *testing.T) {
			c := start(t, lsp.Options{}, object{"general": object{"positionEncodings": []string{encoding}}}, nil)
			c.open("app.ctst", text)
			p := c.wait("app.ctst", 1, "CT204")
			require.Equal(t, want, p.Diagnostics[0].Range)

			// The name is mended where the diagnostic says.
			c.notify("textDocument/didChange", object{
				"textDocument":   object{"uri": c.uri("app.ctst"), "version": 2},
				"contentChanges": []object{{"range": want, "text": "ports"}, {"range": rng{pos{want.Start.Line, want.Start.Character + 8}, pos{1, 9999}}, "text": "[1] }"}},
			})
			c.wait("app.ctst", 2)
			var hover struct{ Range rng }
			c.call("textDocument/hover", object{"textDocument": object{"uri": c.uri("app.ctst")}, "position": want.End}, &hover)
			want.End.Character++
			require.Equal(t, want, hover.Range)
			c.leave()
		})
	}
}

func TestLifecycle(t *testing.T) {
	place := object{"textDocument": object{"uri": "file:///x.ctst"}, "position": pos{}}
	t.Run("before and after", func(t *testing.T) {
		c := connect(t, lsp.Options{})
		require.EqualValues(t, -32002, c.refused("textDocument/hover", place).Code)
		c.notify("textDocument/didOpen", object{"textDocument": object{"uri": "file:///x.ctst", "text": "x"}})
		c.call("initialize", object{"capabilities": object{}}, nil)
		require.EqualValues(t, jrpc2.InvalidRequest, c.refused("initialize", object{}).Code)
		require.EqualValues(t, jrpc2.InvalidParams, c.refused("textDocument/hover", place).Code, "what came before initialize is passed over")
		require.EqualValues(t, jrpc2.MethodNotFound, c.refused("textDocument/foldingRange", place).Code)
		require.EqualValues(t, jrpc2.MethodNotFound, c.refused("$/unknown", nil).Code)
		require.EqualValues(t, jrpc2.InvalidParams, c.refused("textDocument/hover", object{"textDocument": 7}).Code)
		c.notify("textDocument/unknown", object{})
		c.notify("$/unknown", object{})
		c.notify("textDocument/didChange", object{"textDocument": object{"uri": "file:///x.ctst"}, "contentChanges": 1})
		c.replace("not-open.ctst", 1, "")
		var result json.RawMessage
		c.call("shutdown", nil, &result)
		require.Equal(t, "null", string(result))
		require.EqualValues(t, jrpc2.InvalidRequest, c.refused("textDocument/hover", place).Code)
		c.notify("exit", nil)
		require.NoError(t, c.end())
	})
	t.Run("nothing is answered after exit", func(t *testing.T) {
		c := start(t, lsp.Options{}, nil, nil)
		c.notify("exit", nil)
		require.ErrorIs(t, c.end(), lsp.ErrNoShutdown)
		require.Error(t, c.try("textDocument/hover", place, nil))
		require.ErrorIs(t, c.try("textDocument/hover", place, nil), io.EOF, "the connection is closed")
	})
	t.Run("exit without shutdown", func(t *testing.T) {
		c := start(t, lsp.Options{}, nil, nil)
		c.notify("exit", nil)
		require.ErrorIs(t, c.end(), lsp.ErrNoShutdown)
	})
	t.Run("exit at once", func(t *testing.T) {
		c := connect(t, lsp.Options{})
		c.notify("exit", nil)
		require.ErrorIs(t, c.end(), lsp.ErrNoShutdown)
	})
	t.Run("the client goes away", func(t *testing.T) {
		c := start(t, lsp.Options{}, nil, nil)
		c.hang()
		require.ErrorIs(t, c.end(), lsp.ErrNoShutdown)
	})
	t.Run("it goes away after shutdown", func(t *testing.T) {
		c := start(t, lsp.Options{}, nil, nil)
		c.call("shutdown", nil, nil)
		c.hang()
		require.NoError(t, c.end())
	})
}

func TestCancel(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	c := start(t, lsp.Options{Format: func(_ string, src []byte) ([]byte, diag.List) {
		close(entered)
		<-release
		return src, nil
	}}, nil, nil)
	c.open("app.ctst", root)
	failed := make(chan error, 1)
	go func() {
		failed <- c.try("textDocument/formatting", object{"textDocument": object{"uri": c.uri("app.ctst")}}, nil)
	}()
	<-entered
	// The client counts its requests from 1; initialize was the first.
	c.notify("$/cancelRequest", object{"id": 2})
	c.call("textDocument/hover", c.at("LE"), nil) // the cancellation has been seen
	close(release)
	var failure *jrpc2.Error
	require.ErrorAs(t, <-failed, &failure)
	require.EqualValues(t, -32800, failure.Code)
	c.leave()
}

// What is typed, asked and saved at once is answered without a race.
func TestConcurrent(t *testing.T) {
	c := start(t, lsp.Options{Format: narrower}, everything, map[string]string{"templates/pg.ctst": template})
	c.open("app.ctst", root)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for range 20 {
				for _, method := range []string{"completion", "hover", "definition", "references", "documentSymbol", "formatting", "prepareRename", "rename"} {
					params := c.at("${d")
					params["newName"], params["context"] = fmt.Sprint("n", i), object{}
					_ = c.try("textDocument/"+method, params, nil) // the text may be another one just now
				}
			}
		})
	}
	version := 1
	for range 30 {
		for _, text := range []string{root, "COMPONENT x {", root[:len(root)/2]} {
			version++
			c.replace("app.ctst", version, text)
		}
		c.notify("textDocument/didSave", object{"textDocument": object{"uri": c.uri("app.ctst")}})
		c.notify("$/cancelRequest", object{"id": version})
	}
	wg.Wait()
	version++
	c.replace("app.ctst", version, strings.Replace(root, "    im\n", "", 1))
	c.wait("app.ctst", version)
	c.leave()
}

// Bytes that are no messages end the session with an error, or are answered
// with one, and bring nothing down.
func TestBadFrames(t *testing.T) {
	frame := func(body string) string { return fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body) }
	for name, tt := range map[string]struct{ in, err, out string }{
		"no header":          {"hello\r\n\r\n", "invalid header line", ""},
		"no length":          {"X: 1\r\n\r\n", "missing required content-length", ""},
		"length of words":    {"Content-Length: many\r\n\r\n", `"many" is not a length`, ""},
		"negative":           {"Content-Length: -1\r\n\r\n", `"-1" is not a length`, ""},
		"largest":            {"Content-Length: 9223372036854775807\r\n\r\n", "is not a length up to", ""},
		"too large":          {"Content-Length: 33554433\r\n\r\n", "is not a length up to", ""},
		"endless header":     {strings.Repeat("x", 1<<20), "a header of more than 4096 bytes", ""},
		"cut header":         {"Content-Le", "unexpected EOF", ""},
		"cut body":           {"Content-Length: 10\r\n\r\n{}", "unexpected EOF", ""},
		"empty":              {"", lsp.ErrNoShutdown.Error(), ""},
		"not JSON":           {frame("{"), lsp.ErrNoShutdown.Error(), "-32700"},
		"no request":         {frame("7"), lsp.ErrNoShutdown.Error(), ""},
		"no version":         {frame(`{"id":1,"method":"x"}`), lsp.ErrNoShutdown.Error(), "-32600"},
		"no version, no id":  {frame(`{"method":"x"}`), lsp.ErrNoShutdown.Error(), ""},
		"after exit":         {frame(`{"jsonrpc":"2.0","method":"exit"}`) + strings.Repeat(frame(`{"jsonrpc":"2.0","id":1,"method":"x"}`), 1000), lsp.ErrNoShutdown.Error(), ""},
		"deep":               {frame(strings.Repeat("[", 1<<16)), lsp.ErrNoShutdown.Error(), "-32700"},
		"another media type": {"Content-Type: application/json\r\n" + frame(`{"jsonrpc":"2.0","id":1,"method":"x"}`), lsp.ErrNoShutdown.Error(), "-32601"},
		"bare newlines":      {"Content-Length: 37\n\n" + `{"jsonrpc":"2.0","id":1,"method":"x"}`, lsp.ErrNoShutdown.Error(), "-32601"},
	} {
		t.Run(name, func(t *testing.T) {
			var out closer
			err := lsp.Serve(t.Context(), io.MultiReader(strings.NewReader(tt.in), until{&out, tt.out}), &out, lsp.Options{})
			require.ErrorContains(t, err, tt.err)
			require.Contains(t, out.String(), tt.out)
		})
	}
}

// until is the end of a stream that comes when the answer has been given.
type until struct {
	out  *closer
	text string
}

func (u until) Read([]byte) (int, error) {
	for deadline := time.Now().Add(patience); !strings.Contains(u.out.String(), u.text) && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	return 0, io.EOF
}

// closer is a buffer that may be written to from any goroutine.
type closer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (c *closer) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.buf.Write(p)
}

func (c *closer) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.buf.String()
}

func (c *closer) Close() error { return nil }

// FuzzServe: any bytes that a client may send end the session and nothing else.
func FuzzServe(f *testing.F) {
	frame := func(body string) string { return fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body) }
	f.Add([]byte(frame(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"capabilities":{}}}`) +
		frame(`{"jsonrpc":"2.0","method":"textDocument/didOpen","params":{"textDocument":{"uri":"file:///x.ctst","text":"COMPONENT a {"}}}`) +
		frame(`{"jsonrpc":"2.0","id":2,"method":"textDocument/completion","params":{"textDocument":{"uri":"file:///x.ctst"},"position":{"line":0,"character":13}}}`) +
		frame(`{"jsonrpc":"2.0","method":"textDocument/didChange","params":{"textDocument":{"uri":"file:///x.ctst"},"contentChanges":[{"range":{"start":{"line":9,"character":9},"end":{"line":0,"character":0}},"text":"é"}]}}`) +
		frame(`{"jsonrpc":"2.0","id":"a","method":"textDocument/rename","params":{"textDocument":{"uri":"file:///x.ctst"},"position":{"line":4294967295,"character":1},"newName":"b"}}`) +
		frame(`{"jsonrpc":"2.0","id":3,"method":"shutdown"}`) + frame(`{"jsonrpc":"2.0","method":"exit"}`)))
	f.Add([]byte("Content-Length: 2\r\n\r\n[]"))
	f.Add([]byte("\r\n\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		var out closer
		err := lsp.Serve(t.Context(), bytes.NewReader(in), &out, lsp.Options{Format: narrower})
		if !bytes.Contains(in, []byte("shutdown")) {
			require.Error(t, err)
		}
		if out.String() != "" {
			require.True(t, strings.HasPrefix(out.String(), "Content-Length: ") || strings.HasPrefix(out.String(), "Content-Type: "), out.String())
		}
	})
}
