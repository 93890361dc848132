// Package lsp is the language server: what package editor of the language
// knows, and what package resolve finds, over the Language Server Protocol.
//
//	err := lsp.Serve(ctx, os.Stdin, os.Stdout, lsp.Options{LookupEnv: os.LookupEnv})
//
// It runs on every platform, needs no privileges, and reads files only: never
// an image, a secret or the network. Requests are answered concurrently, each
// from the documents as they are when it is looked at.
package lsp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"

	"github.com/creachadair/jrpc2"
	"github.com/creachadair/jrpc2/handler"

	"github.com/containust/containust/modules/lang/diag"
)

// Options say what a server has of the world outside. The zero value works.
type Options struct {
	// LookupEnv is the environment that ${env.X} is checked against. nil:
	// empty.
	LookupEnv func(name string) (string, bool)

	// Format returns the canonical form of a file, or what hinders it. nil:
	// formatting is not offered.
	Format func(name string, src []byte) ([]byte, diag.List)

	// CacheDir is where imports over https were kept; only what is there is
	// known of them. Empty: nothing.
	CacheDir string

	Version string       // of the program, for the client's log
	Logger  *slog.Logger // nil: discards
}

// ErrNoShutdown says that the client went away without the request that should
// come before. The protocol wants exit code 1 for it.
var ErrNoShutdown = errors.New("the client left without shutdown")

// Error codes that the protocol adds to JSON-RPC's.
const (
	notInitialized   jrpc2.Code = -32002
	requestCancelled jrpc2.Code = -32800
	requestFailed    jrpc2.Code = -32803
)

// concurrency is how many requests are worked on at a time. There are more than
// CPUs, so that a cancellation never waits for what it cancels.
const concurrency = 16

// Serve answers one client until it says exit or goes away. It does not wait for
// in to end: what still reads from it ends with it, and then closes out.
func Serve(ctx context.Context, in io.Reader, out io.WriteCloser, opts Options) error {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.LookupEnv == nil {
		opts.LookupEnv = func(string) (string, bool) { return "", false }
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := &server{opts: opts, exited: make(chan struct{}), running: map[string]context.CancelFunc{}}
	s.checker = newChecker(s)
	s.rpc = jrpc2.NewServer(s.methods(), &jrpc2.ServerOptions{
		AllowPush: true, DisableBuiltin: true, Concurrency: concurrency,
		NewContext: func() context.Context { return ctx },
		Logger:     func(text string) { opts.Logger.Debug(text) },
	})
	conn := newConnection(in, out, opts.Logger)
	s.rpc.Start(conn)
	go s.checker.run(ctx)

	ended := make(chan error, 1)
	go func() { ended <- s.rpc.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			return fmt.Errorf("serve editor: %w", err)
		}
	case <-s.exited:
		conn.leave()
	case <-ctx.Done():
		conn.leave()
		return ctx.Err()
	}
	if s.phase() != shutDown {
		return ErrNoShutdown
	}
	return nil
}

// server is one session.
type server struct {
	opts    Options
	rpc     *jrpc2.Server
	docs    documents
	checker *checker
	exited  chan struct{}
	exit    sync.Once

	mu      sync.Mutex
	state   phase
	client  clientCapabilities
	encode  encoding
	running map[string]context.CancelFunc // the requests under way, by id
}

type phase int

const (
	started phase = iota
	initialized
	shutDown
)

func (s *server) phase() phase {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

func (s *server) encoding() encoding {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.encode
}

func (s *server) capabilities() clientCapabilities {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.client
}

// methods are what the server understands. Requests for others are answered
// with an error; notifications of others are passed over.
func (s *server) methods() handler.Map {
	ignore := func(context.Context, *jrpc2.Request) (any, error) { return nil, nil }
	m := handler.Map{
		"initialize": s.initialize,
		"exit": func(context.Context, *jrpc2.Request) (any, error) {
			s.exit.Do(func() { close(s.exited) })
			return nil, nil
		},
		"initialized":                      ignore,
		"$/setTrace":                       ignore,
		"workspace/didChangeConfiguration": ignore,
		"$/cancelRequest":                  notification(s, s.cancel),
		"textDocument/didOpen":             notification(s, s.didOpen),
		"textDocument/didChange":           notification(s, s.didChange),
		"textDocument/didClose":            notification(s, s.didClose),
		"textDocument/didSave":             notification(s, func(*documentParams) { s.checker.ask(everything) }),
		"workspace/didChangeWatchedFiles":  notification(s, func(*struct{}) { s.checker.ask(everything) }),
		"shutdown":                         request(s, s.shutdown),
		"textDocument/completion":          request(s, s.completion),
		"textDocument/hover":               request(s, s.hover),
		"textDocument/definition":          request(s, s.definition),
		"textDocument/references":          request(s, s.references),
		"textDocument/documentSymbol":      request(s, s.symbols),
		"textDocument/prepareRename":       request(s, s.prepareRename),
		"textDocument/rename":              request(s, s.rename),
	}
	if s.opts.Format != nil {
		m["textDocument/formatting"] = request(s, s.formatting)
	}
	return m
}

// notification makes a handler of a function. What comes before initialize or
// after shutdown is passed over.
func notification[P any](s *server, fn func(*P)) jrpc2.Handler {
	return func(_ context.Context, req *jrpc2.Request) (any, error) {
		if s.phase() != initialized {
			return nil, nil
		}
		var p P
		if err := req.UnmarshalParams(&p); err != nil {
			s.opts.Logger.Warn("a notification that cannot be read", "method", req.Method(), "error", err)
			return nil, nil
		}
		fn(&p)
		return nil, nil
	}
}

// request makes a handler of a function, which can be cancelled.
func request[P any](s *server, fn func(context.Context, *P) (any, error)) jrpc2.Handler {
	return func(ctx context.Context, req *jrpc2.Request) (any, error) {
		switch s.phase() {
		case started:
			return nil, jrpc2.Errorf(notInitialized, "initialize comes first")
		case shutDown:
			return nil, jrpc2.Errorf(jrpc2.InvalidRequest, "only exit comes after shutdown")
		}
		var p P
		if err := req.UnmarshalParams(&p); err != nil {
			return nil, err
		}
		ctx, end := s.begin(ctx, req.ID())
		defer end()
		result, err := fn(ctx, &p)
		if ctx.Err() != nil {
			return nil, jrpc2.Errorf(requestCancelled, "cancelled")
		}
		return result, err
	}
}

// begin notes a request, so that it can be cancelled.
func (s *server) begin(ctx context.Context, id string) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	s.mu.Lock()
	s.running[id] = cancel
	s.mu.Unlock()
	return ctx, func() {
		s.mu.Lock()
		delete(s.running, id)
		s.mu.Unlock()
		cancel()
	}
}

func (s *server) cancel(p *cancelParams) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if cancel := s.running[string(p.ID)]; cancel != nil {
		cancel()
	}
}

func (s *server) initialize(_ context.Context, req *jrpc2.Request) (any, error) {
	var p initializeParams
	if err := req.UnmarshalParams(&p); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != started {
		return nil, jrpc2.Errorf(jrpc2.InvalidRequest, "initialize comes once")
	}
	s.state, s.client, s.encode = initialized, p.Capabilities, utf16Encoding
	if slices.Contains(p.Capabilities.General.PositionEncodings, string(utf8Encoding)) {
		s.encode = utf8Encoding
	}
	return initializeResult{
		ServerInfo: serverInfo{Name: "ctst", Version: s.opts.Version},
		Capabilities: serverCapabilities{
			PositionEncoding: string(s.encode),
			TextDocumentSync: syncOptions{OpenClose: true, Change: incrementalSync, Save: true},
			Completion:       completionOptions{TriggerCharacters: []string{`"`, "{", "(", ".", "/"}},
			Hover:            true, Definition: true, References: true, DocumentSymbol: true,
			Formatting: s.opts.Format != nil,
			Rename:     renameOptions{Prepare: true},
		},
	}, nil
}

func (s *server) shutdown(context.Context, *json.RawMessage) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state = shutDown
	return nil, nil
}

func (s *server) didOpen(p *didOpenParams) {
	t := p.TextDocument
	s.docs.put(&document{path: pathOf(t.URI), uri: t.URI, version: t.Version, open: true, text: []byte(t.Text)})
	s.checker.ask(everything)
}

func (s *server) didChange(p *didChangeParams) {
	t := p.TextDocument
	doc := s.docs.opened(pathOf(t.URI))
	if doc == nil {
		s.opts.Logger.Warn("a change of a document that is not open", "uri", t.URI)
		return
	}
	text := doc.changed(s.encoding(), p.ContentChanges)
	s.docs.put(&document{path: doc.path, uri: doc.uri, version: t.Version, open: true, text: text})
	s.checker.ask(whatChanged)
}

func (s *server) didClose(p *documentParams) {
	s.docs.close(pathOf(p.TextDocument.URI))
	s.checker.ask(everything)
}
