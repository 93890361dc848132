package source

import (
	"context"
	"errors"
	"hash"
	"io"
	"sync"
	"sync/atomic"
)

var errClosed = errors.New("source is closed")

const (
	chunkSize  = 256 << 10
	chunkCount = 8
)

// stage reads ahead in a goroutine of its own and hashes what passes, so that
// reading, hashing, decompressing and unpacking overlap. One goroutine may use
// Read, any may use count and close.
type stage struct {
	ctx   context.Context
	hash  hash.Hash
	count atomic.Int64            // bytes that came from the source of this stage
	check func(count int64) error // after each chunk; may be nil

	filled chan []byte
	free   chan []byte
	done   chan struct{} // closed by close
	exited chan struct{} // closed by the goroutine
	once   sync.Once
	err    error // of the source; read after filled is closed

	buf  []byte // the chunk that Read takes from, to be given back
	rest []byte // what is left of it
}

func startStage(ctx context.Context, src io.Reader, h hash.Hash, check func(count int64) error) *stage {
	s := &stage{
		ctx:    ctx,
		hash:   h,
		check:  check,
		filled: make(chan []byte, chunkCount),
		free:   make(chan []byte, chunkCount),
		done:   make(chan struct{}),
		exited: make(chan struct{}),
	}
	for range chunkCount {
		s.free <- nil // made when needed: many sources are smaller
	}
	go s.run(src)
	return s
}

func (s *stage) run(src io.Reader) {
	defer close(s.exited)
	defer close(s.filled)
	for {
		var buf []byte
		select {
		case buf = <-s.free:
		case <-s.done:
			s.err = errClosed
			return
		case <-s.ctx.Done():
			s.err = context.Cause(s.ctx)
			return
		}
		if buf == nil {
			buf = make([]byte, chunkSize)
		}
		n, err := readFull(src, buf[:chunkSize])
		count := s.count.Add(int64(n))
		s.hash.Write(buf[:n])
		if s.check != nil {
			// A limit comes first: a bomb need not be an error of its format.
			if limit := s.check(count); limit != nil {
				err = limit
			}
		}
		if n > 0 {
			s.filled <- buf[:n] // never blocks: as many places as buffers
		}
		if err != nil {
			s.err = err
			return
		}
	}
}

// readFull is io.ReadFull that keeps the error of the reader.
func readFull(r io.Reader, p []byte) (int, error) {
	n := 0
	for n < len(p) {
		m, err := r.Read(p[n:])
		n += m
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

func (s *stage) Read(p []byte) (int, error) {
	if len(s.rest) == 0 {
		if s.buf != nil {
			s.free <- s.buf[:chunkSize]
			s.buf = nil
		}
		select {
		case buf, ok := <-s.filled:
			if !ok {
				return 0, s.err
			}
			s.buf, s.rest = buf, buf
		case <-s.ctx.Done():
			return 0, context.Cause(s.ctx)
		}
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// stop makes the goroutine end after the read that it may be in.
func (s *stage) stop() { s.once.Do(func() { close(s.done) }) }

// wait returns when the goroutine has ended.
func (s *stage) wait() { <-s.exited }
