package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/creachadair/jrpc2"
	"github.com/creachadair/jrpc2/channel"
)

// editorFile is what the editor has open; the name behind the arrow is a
// mistake.
const editorFile = `COMPONENT db {
    image = "file://./db"
    port  = 5432
}
COMPONENT api { image = "file://./api" }
CONNECT api -> bd
`

// session is `ctst lsp` as an editor runs it.
type session struct {
	t         *testing.T
	cmd       *exec.Cmd
	client    *jrpc2.Client
	stderr    bytes.Buffer
	published chan string // the codes of each publication
}

func startEditor(t *testing.T, ctst, dir string) *session {
	t.Helper()
	s := &session{t: t, cmd: exec.Command(ctst, "lsp"), published: make(chan string, 100)}
	s.cmd.Dir, s.cmd.Stderr = dir, &s.stderr
	stdin, err := s.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.cmd.Process.Kill() })
	s.client = jrpc2.NewClient(channel.LSP(stdout, keepOpen{stdin}), &jrpc2.ClientOptions{OnNotify: func(req *jrpc2.Request) {
		var p struct{ Diagnostics []struct{ Code string } }
		if err := req.UnmarshalParams(&p); err != nil || req.Method() != "textDocument/publishDiagnostics" {
			return
		}
		var codes []string
		for _, d := range p.Diagnostics {
			codes = append(codes, d.Code)
		}
		s.published <- strings.Join(codes, " ")
	}})
	return s
}

// keepOpen leaves standard input open: the server has to end by itself.
type keepOpen struct{ io.Writer }

func (keepOpen) Close() error { return nil }

func (s *session) call(method string, params any) string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	rsp, err := s.client.Call(ctx, method, params)
	if err != nil {
		s.t.Fatalf("%s: %v\n%s", method, err, &s.stderr)
	}
	return rsp.ResultString()
}

func (s *session) notify(method string, params any) {
	s.t.Helper()
	if err := s.client.Notify(context.Background(), method, params); err != nil {
		s.t.Fatal(err)
	}
}

func (s *session) wait(codes string) {
	s.t.Helper()
	select {
	case got := <-s.published:
		if got != codes {
			s.t.Fatalf("got diagnostics %q, want %q", got, codes)
		}
	case <-time.After(20 * time.Second):
		s.t.Fatalf("no diagnostics\n%s", &s.stderr)
	}
}

func (s *session) exitCode() int {
	s.t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- s.cmd.Wait() }()
	select {
	case err := <-ended:
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			s.t.Fatal(err)
		}
	case <-time.After(20 * time.Second):
		s.t.Fatal("ctst lsp does not end")
	}
	return s.cmd.ProcessState.ExitCode()
}

// TestLanguageServer runs the real binary as an editor does, from initialize to
// exit.
func TestLanguageServer(t *testing.T) {
	dir := t.TempDir()
	ctst := filepath.Join(dir, exe("ctst"))
	build(t, ctst, cliPackage)
	path := filepath.ToSlash(filepath.Join(dir, "app.ctst"))
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	uri := (&url.URL{Scheme: "file", Path: path}).String()
	type object = map[string]any
	document := object{"uri": uri}
	at := func(line, character int) object {
		return object{"textDocument": document, "position": object{"line": line, "character": character}}
	}

	s := startEditor(t, ctst, dir)
	if hello := s.call("initialize", object{"processId": os.Getpid(), "rootUri": nil, "capabilities": object{}}); !strings.Contains(hello, `"name":"ctst"`) {
		t.Error(hello)
	}
	s.notify("initialized", object{})
	s.notify("textDocument/didOpen", object{"textDocument": object{"uri": uri, "languageId": "ctst", "version": 1, "text": editorFile}})
	s.wait("CT305")
	s.notify("textDocument/didChange", object{
		"textDocument": object{"uri": uri, "version": 2},
		"contentChanges": []object{{
			"range": object{"start": object{"line": 5, "character": 15}, "end": object{"line": 5, "character": 17}}, "text": "db",
		}},
	})
	s.wait("")
	for what, tt := range map[string]struct {
		got  string
		want []string
	}{
		"completion": {s.call("textDocument/completion", at(2, 0)), []string{`"label":"memory"`, `"label":"healthcheck"`}},
		"names":      {s.call("textDocument/completion", at(5, 17)), []string{`"label":"db"`}},
		"hover":      {s.call("textDocument/hover", at(5, 16)), []string{"COMPONENT db", "port = 5432"}},
		"definition": {s.call("textDocument/definition", at(5, 16)), []string{`"start":{"line":0,"character":10}`}},
		"rename": {
			s.call("textDocument/rename", object{"textDocument": document, "position": object{"line": 0, "character": 11}, "newName": "store"}),
			[]string{`"newText":"store"`, `"line":5`, `"line":0`},
		},
	} {
		for _, want := range tt.want {
			if !strings.Contains(tt.got, want) {
				t.Errorf("%s: no %s in %s", what, want, tt.got)
			}
		}
	}
	if got := s.call("shutdown", nil); !json.Valid([]byte(got)) || got != "null" {
		t.Error(got)
	}
	s.notify("exit", nil)
	if code := s.exitCode(); code != 0 {
		t.Errorf("exit code %d\n%s", code, &s.stderr)
	}
	if s.stderr.Len() > 0 {
		t.Errorf("it said %s", &s.stderr)
	}

	s = startEditor(t, ctst, dir)
	s.notify("exit", nil)
	if code := s.exitCode(); code != 1 || !strings.Contains(s.stderr.String(), "the client left without shutdown") {
		t.Errorf("exit code %d without shutdown, %q", code, &s.stderr)
	}
}
