package lsp

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/creachadair/jrpc2"
	"github.com/creachadair/jrpc2/channel"
)

// The limits of a message. A document of 4 MiB has at most six times as many
// bytes in JSON.
const (
	maxHeader  = 4096
	maxMessage = 32 << 20
)

// connection is LSP's framing with limits: channel.LSP itself makes room for
// whatever length a header names before a byte has come, and panics at the
// largest.
type connection struct {
	channel.Channel
	in     *bufio.Reader
	logger *slog.Logger
	left   atomic.Bool // nothing is to be read any more
}

func newConnection(in io.Reader, out io.WriteCloser, logger *slog.Logger) *connection {
	// channel.LSP reads from this very reader, because bufio wraps none that
	// is large enough.
	r := bufio.NewReaderSize(in, maxHeader)
	return &connection{Channel: channel.LSP(r, out), in: r, logger: logger}
}

// leave makes the next message the end. jrpc2's own Stop is not for a server
// whose client may still be sending: its reader then panics.
func (c *connection) leave() { c.left.Store(true) }

// Recv returns the next message that jrpc2 can take.
func (c *connection) Recv() ([]byte, error) {
	for {
		if err := c.checkHeader(); err != nil {
			return nil, err
		}
		message, err := c.Channel.Recv()
		// Some clients name the type in a way of their own. It is JSON all the
		// same.
		var mismatch *channel.ContentTypeMismatchError
		switch {
		case err != nil && !errors.As(err, &mismatch):
			return nil, err
		case c.left.Load():
			return nil, io.EOF
		case !unanswerable(message):
			return message, nil
		}
		c.logger.Warn("passed over a notification that is not valid", "bytes", len(message))
	}
}

// unanswerable tells whether a message is invalid and has no id. When the client
// is gone before jrpc2 1.3 comes to answer it, that panics.
func unanswerable(message []byte) bool {
	requests, err := jrpc2.ParseRequests(message)
	return err == nil && slices.ContainsFunc(requests, func(r *jrpc2.ParsedRequest) bool { return r.Error != nil && r.ID == "" })
}

func (c *connection) checkHeader() error {
	for n := 1; ; n = max(n+1, c.in.Buffered()) {
		if n > maxHeader {
			return fmt.Errorf("read message: a header of more than %d bytes", maxHeader)
		}
		header, err := c.in.Peek(n)
		end := headerEnd(header)
		switch {
		case end >= 0:
			return checkLength(string(header[:end]))
		case errors.Is(err, io.EOF) && len(header) > 0:
			return io.ErrUnexpectedEOF
		case err != nil:
			return err
		}
	}
}

// headerEnd is where the first empty line ends, or -1.
func headerEnd(header []byte) int {
	for at := 0; ; {
		n := bytes.IndexByte(header[at:], '\n')
		if n < 0 {
			return -1
		}
		line := bytes.TrimRight(header[at:at+n], "\r")
		at += n + 1
		if len(line) == 0 {
			return at
		}
	}
}

func checkLength(header string) error {
	for line := range strings.SplitSeq(header, "\n") {
		name, value, _ := strings.Cut(strings.TrimRight(line, "\r"), ":")
		if !strings.EqualFold(name, "Content-Length") {
			continue
		}
		n, err := strconv.Atoi(strings.TrimSpace(value))
		if err != nil || n < 0 || n > maxMessage {
			return fmt.Errorf("read message: %q is not a length up to %d", strings.TrimSpace(value), maxMessage)
		}
	}
	return nil
}
