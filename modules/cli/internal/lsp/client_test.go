package lsp_test

import (
	"context"
	"encoding/json"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creachadair/jrpc2"
	"github.com/creachadair/jrpc2/channel"
	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/cli/internal/lsp"
)

// patience bounds every wait of the tests.
const patience = 20 * time.Second

// object is any JSON object.
type object = map[string]any

// client is an editor that talks to a server in this process.
type client struct {
	t    testing.TB
	dir  string
	rpc  *jrpc2.Client
	done chan error
	hang func() // closes the client's side without a word

	mu        sync.Mutex
	published map[string]publication // by URI
	history   []publication
	arrived   chan struct{}
}

type publication struct {
	URI         string
	Version     *int32
	Diagnostics []struct {
		Range    rng
		Severity int
		Code     string
		Message  string
		Tags     []int
		Related  []struct {
			Location struct {
				URI   string
				Range rng
			}
			Message string
		} `json:"relatedInformation"`
	}
}

type pos struct{ Line, Character int }

type rng struct{ Start, End pos }

// start starts a server, with files of a folder of its own, and initializes it.
func start(t testing.TB, opts lsp.Options, capabilities object, files map[string]string) *client {
	c := connect(t, opts)
	for name, text := range files {
		c.write(name, text)
	}
	c.call("initialize", object{"capabilities": capabilities}, nil)
	c.notify("initialized", object{})
	return c
}

func connect(t testing.TB, opts lsp.Options) *client {
	fromClient, toServer := io.Pipe()
	fromServer, toClient := io.Pipe()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	c := &client{t: t, dir: dir, done: make(chan error, 1), published: map[string]publication{}, arrived: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	go func() { c.done <- lsp.Serve(ctx, fromClient, toClient, opts) }()
	c.hang = func() { _ = toServer.Close() }
	c.rpc = jrpc2.NewClient(inOrder{channel.LSP(fromServer, toServer), c}, nil)
	t.Cleanup(func() {
		cancel()
		_ = toServer.Close()
		_ = fromServer.Close()
		_ = c.rpc.Close()
	})
	return c
}

// inOrder shows a client what the server sends, in its order: jrpc2 handles each
// message in a goroutine of its own.
type inOrder struct {
	channel.Channel
	client *client
}

func (o inOrder) Recv() ([]byte, error) {
	message, err := o.Channel.Recv()
	if err == nil {
		o.client.received(message)
	}
	return message, err
}

func (c *client) received(message []byte) {
	var m struct {
		Method string
		Params json.RawMessage
	}
	var p publication
	if json.Unmarshal(message, &m) != nil || m.Method != "textDocument/publishDiagnostics" || json.Unmarshal(m.Params, &p) != nil {
		return
	}
	c.mu.Lock()
	c.published[p.URI] = p
	c.history = append(c.history, p)
	c.mu.Unlock()
	select {
	case c.arrived <- struct{}{}:
	default:
	}
}

func (c *client) call(method string, params, result any) {
	c.t.Helper()
	require.NoError(c.t, c.try(method, params, result), method)
}

func (c *client) try(method string, params, result any) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	rsp, err := c.rpc.Call(ctx, method, params)
	if err != nil {
		return err
	}
	if result == nil {
		return nil
	}
	return rsp.UnmarshalResult(result)
}

// refused is the error of a call.
func (c *client) refused(method string, params any) *jrpc2.Error {
	c.t.Helper()
	err := c.try(method, params, nil)
	var failure *jrpc2.Error
	require.ErrorAs(c.t, err, &failure, method)
	return failure
}

func (c *client) notify(method string, params any) {
	c.t.Helper()
	require.NoError(c.t, c.rpc.Notify(context.Background(), method, params))
}

func (c *client) write(name, text string) {
	c.t.Helper()
	path := filepath.Join(c.dir, name)
	require.NoError(c.t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(c.t, os.WriteFile(path, []byte(text), 0o600))
}

func (c *client) uri(name string) string {
	path := filepath.ToSlash(filepath.Join(c.dir, name))
	if runtime.GOOS == "windows" {
		path = "/" + path
	}
	return (&url.URL{Scheme: "file", Path: path}).String()
}

func (c *client) open(name, text string) {
	c.t.Helper()
	c.notify("textDocument/didOpen", object{"textDocument": object{"uri": c.uri(name), "languageId": "ctst", "version": 1, "text": text}})
}

// replace changes the whole text.
func (c *client) replace(name string, version int, text string) {
	c.t.Helper()
	c.notify("textDocument/didChange", object{
		"textDocument":   object{"uri": c.uri(name), "version": version},
		"contentChanges": []object{{"text": text}},
	})
}

func (c *client) close(name string) {
	c.t.Helper()
	c.notify("textDocument/didClose", object{"textDocument": object{"uri": c.uri(name)}})
}

// at are the parameters of a request about a place in app.ctst, whose text is
// root: behind the first occurrence of mark.
func (c *client) at(mark string) object {
	c.t.Helper()
	i := strings.Index(root, mark)
	require.GreaterOrEqual(c.t, i, 0, mark)
	before := root[:i+len(mark)]
	line := strings.Count(before, "\n")
	return object{
		"textDocument": object{"uri": c.uri("app.ctst")},
		"position":     object{"line": line, "character": len(before) - strings.LastIndexByte(before, '\n') - 1},
	}
}

// wait waits for the diagnostics of a file: the codes in their order.
func (c *client) wait(name string, version int, codes ...string) publication {
	c.t.Helper()
	deadline := time.After(patience)
	for {
		c.mu.Lock()
		p, ok := c.published[c.uri(name)]
		c.mu.Unlock()
		if ok && (p.Version == nil && version == 0 || p.Version != nil && int(*p.Version) == version) && strings.Join(codesOf(p), " ") == strings.Join(codes, " ") {
			return p
		}
		select {
		case <-c.arrived:
		case <-deadline:
			text, err := json.Marshal(p)
			require.NoError(c.t, err)
			c.t.Fatalf("%s at version %d: no %v, but %s", name, version, codes, text)
		}
	}
}

func codesOf(p publication) []string {
	var list []string
	for _, d := range p.Diagnostics {
		list = append(list, d.Code)
	}
	return list
}

// end waits for the server to end.
func (c *client) end() error {
	c.t.Helper()
	select {
	case err := <-c.done:
		return err
	case <-time.After(patience):
		c.t.Fatal("the server does not end")
		return nil
	}
}

// leave ends the session as it should be ended.
func (c *client) leave() {
	c.t.Helper()
	c.call("shutdown", nil, nil)
	c.notify("exit", nil)
	require.NoError(c.t, c.end())
}
