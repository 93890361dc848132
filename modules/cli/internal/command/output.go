package command

import (
	"errors"
	"io"
	"os"
	"syscall"
	"time"
)

// An output shows here what comes out of a container.
type output struct {
	from, to *os.File
	failed   func(error) // called when it cannot be shown any more
	shown    chan struct{}
}

// showOutput begins to show what comes out of from, until nobody can write to
// it any more, or finish.
func showOutput(from, to *os.File, failed func(error)) *output {
	o := &output{from: from, to: to, failed: failed, shown: make(chan struct{})}
	go o.show()
	return o
}

func (o *output) show() {
	defer close(o.shown)
	_, err := io.Copy(onlyWriter{o.to}, onlyReader{o.from})
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = o.showRest()
	}
	if err != nil && !errors.Is(err, syscall.EIO) { // how a terminal ends, see pty(7)
		o.failed(err)
	}
}

// The os package knows faster ways between files, which terminals do not have.
type (
	onlyReader struct{ io.Reader }
	onlyWriter struct{ io.Writer }
)

const (
	restSize = 128 << 10              // more than the kernel keeps of what was written
	restTime = 100 * time.Millisecond // for a read to find what was written already
)

// showRest shows what had been written when the command ended. What it left
// behind may go on writing.
func (o *output) showRest() error {
	if err := o.from.SetReadDeadline(time.Now().Add(restTime)); err != nil {
		return err
	}
	_, err := io.CopyN(onlyWriter{o.to}, onlyReader{o.from}, restSize)
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// finish shows what the command had written when it ended, unless over says
// that nobody wants to see it, and closes the source.
func (o *output) finish(over <-chan struct{}) error {
	err := o.from.SetReadDeadline(time.Unix(1, 0))
	if err == nil {
		select {
		case <-o.shown:
		case <-over:
		}
	}
	return errors.Join(err, o.from.Close())
}

// pipes stand between a command without a terminal and ours: with it, the
// command could read what is typed here, and change its settings.
type pipes struct {
	failed  func(error)
	ends    []*os.File // which the command has
	screens []screen
}

type screen struct {
	*output
	end *os.File
}

// keys returns what a command gets as standard input for f.
func (p *pipes) keys(f *os.File) (*os.File, error) {
	if !isTerminal(f) {
		return f, nil
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p.ends = append(p.ends, r)
	go func() {
		_, _ = io.Copy(onlyWriter{w}, onlyReader{f}) // either side may end it, as in any pipeline
		_ = w.Close()
	}()
	return r, nil
}

// screen returns what a command gets to write to for f. Twice the same terminal
// is one pipe, which keeps the order.
func (p *pipes) screen(f *os.File) (*os.File, error) {
	if !isTerminal(f) {
		return f, nil
	}
	for _, s := range p.screens {
		if same(s.to, f) {
			return s.end, nil
		}
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p.ends = append(p.ends, w)
	p.screens = append(p.screens, screen{showOutput(r, f, p.failed), w})
	return w, nil
}

func same(a, b *os.File) bool {
	infoA, errA := a.Stat()
	infoB, errB := b.Stat()
	return errA == nil && errB == nil && os.SameFile(infoA, infoB)
}

// finish closes the pipes, after the command has ended, and shows the rest.
func (p *pipes) finish(over <-chan struct{}) (err error) {
	for _, f := range p.ends {
		err = errors.Join(err, f.Close())
	}
	for _, s := range p.screens {
		err = errors.Join(err, s.output.finish(over))
	}
	return err
}
