package lsp

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/creachadair/jrpc2/channel"
)

// The limits of a message. A document of 4 MiB has at most six times as many
// bytes in JSON.
const (
	maxHeader  = 4096
	maxMessage = 32 << 20
)

// bounded is LSP's framing with limits: channel.LSP itself makes room for
// whatever length a header names before a byte has come, and panics at the
// largest.
type bounded struct {
	channel.Channel
	in *bufio.Reader
}

func newChannel(in io.Reader, out io.WriteCloser) channel.Channel {
	// channel.LSP reads from this very reader, because bufio wraps none that
	// is large enough.
	r := bufio.NewReaderSize(in, maxHeader)
	return &bounded{Channel: channel.LSP(r, out), in: r}
}

// Recv looks at the header before the framing does.
func (b *bounded) Recv() ([]byte, error) {
	if err := b.checkHeader(); err != nil {
		return nil, err
	}
	message, err := b.Channel.Recv()
	// Some clients name the type in a way of their own. It is JSON all the same.
	var mismatch *channel.ContentTypeMismatchError
	if errors.As(err, &mismatch) {
		err = nil
	}
	return message, err
}

func (b *bounded) checkHeader() error {
	for n := 1; ; n = max(n+1, b.in.Buffered()) {
		if n > maxHeader {
			return fmt.Errorf("read message: a header of more than %d bytes", maxHeader)
		}
		header, err := b.in.Peek(n)
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
