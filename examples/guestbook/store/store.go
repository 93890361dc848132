package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// pair is one line of the file and one element of a list.
type pair struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// store is a map whose changes are appended to a file, one JSON object a line.
// A Put that has returned survives a crash.
type store struct {
	mu     sync.RWMutex
	values map[string]string
	file   *os.File
	size   int64 // of what is known to be good
}

// open reads what a folder holds. The last line may be cut short by a crash in
// the middle of a Put that never returned: it is dropped.
func open(dir string) (*store, error) {
	file, err := os.OpenFile(filepath.Join(dir, "entries.jsonl"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	s := &store{values: make(map[string]string), file: file}
	if err := s.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("read %s: %w", file.Name(), err), file.Close())
	}
	// A new file is only there after a crash if its folder was synced too.
	if err := syncDir(dir); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return s, nil
}

func (s *store) load() error {
	lines := bufio.NewReader(s.file)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return s.file.Truncate(s.size)
		}
		if err != nil {
			return err
		}
		var p pair
		if err := json.Unmarshal(line, &p); err != nil {
			return fmt.Errorf("at byte %d: %w", s.size, err)
		}
		s.values[p.Key] = p.Value
		s.size += int64(len(line))
	}
}

// Put stores a value durably.
func (s *store) Put(key, value string) error {
	var line bytes.Buffer
	if err := json.NewEncoder(&line).Encode(pair{key, value}); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := s.file.WriteAt(line.Bytes(), s.size)
	if err == nil {
		err = s.file.Sync()
	}
	if err != nil {
		// Half a line must not stand where the next one begins.
		return errors.Join(err, s.file.Truncate(s.size))
	}
	s.size += int64(line.Len())
	s.values[key] = value
	return nil
}

// Get returns a value.
func (s *store) Get(key string) (value string, ok bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	value, ok = s.values[key]
	return value, ok
}

// List returns the pairs whose key has a prefix, in order of the keys; never nil.
func (s *store) List(prefix string) []pair {
	s.mu.RLock()
	defer s.mu.RUnlock()
	list := []pair{}
	for key, value := range s.values {
		if strings.HasPrefix(key, prefix) {
			list = append(list, pair{key, value})
		}
	}
	slices.SortFunc(list, func(a, b pair) int { return strings.Compare(a.Key, b.Key) })
	return list
}

// Close closes the file.
func (s *store) Close() error { return s.file.Close() }

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
