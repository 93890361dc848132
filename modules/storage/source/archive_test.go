package source

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"
)

// makeTar writes regular files in the order given: name, content, name, …
func makeTar(t testing.TB, files ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		require.NoError(t, w.WriteHeader(&tar.Header{Name: files[i], Size: int64(len(files[i+1])), Mode: 0o644}))
		_, err := io.WriteString(w, files[i+1])
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return b.Bytes()
}

func noise(n int) string {
	r := rand.NewChaCha8([32]byte{})
	b := make([]byte, n)
	r.Read(b)
	return string(b)
}

func gzipped(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(data)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.Bytes()
}

func zstded(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := zstd.NewWriter(&b)
	require.NoError(t, err)
	_, err = w.Write(data)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.Bytes()
}

func refTo(t testing.TB, data []byte) Ref {
	t.Helper()
	path := filepath.Join(t.TempDir(), "named.misleadingly")
	require.NoError(t, os.WriteFile(path, data, 0o600))
	ref, err := Parse("tar://"+path, "")
	require.NoError(t, err)
	return ref
}

func sum(data []byte) Digest { return Digest(fmt.Sprintf("sha256:%x", sha256.Sum256(data))) }

// readAll returns contents by name, and the reader after its end.
func readAll(ref Ref, limits Limits) (map[string]string, Reader, error) {
	r, err := Open(context.Background(), ref, limits)
	if err != nil {
		return nil, nil, err
	}
	defer r.Close()
	files := map[string]string{}
	for {
		hdr, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files, r, nil
		}
		if err != nil {
			return files, nil, err
		}
		data, err := io.ReadAll(r)
		if err != nil {
			return files, nil, err
		}
		files[hdr.Name] = string(data)
	}
}

func TestArchiveIsFoundByContent(t *testing.T) {
	plain := makeTar(t, "a", "content of a", "dir/b", noise(3<<20), "empty", "")
	want := map[string]string{"a": "content of a", "dir/b": noise(3 << 20), "empty": ""}
	skippable := append([]byte("\x53\x2a\x4d\x18\x04\x00\x00\x00note"), zstded(t, plain)...)
	for name, data := range map[string][]byte{
		"plain":                     plain,
		"gzip":                      gzipped(t, plain),
		"two gzip members":          append(gzipped(t, plain[:1000]), gzipped(t, plain[1000:])...),
		"zstd":                      zstded(t, plain),
		"zstd with skippable frame": skippable,
		"padded to a tape block":    append(bytes.Clone(plain), make([]byte, 10240)...),
	} {
		t.Run(name, func(t *testing.T) {
			ref := refTo(t, data)
			files, r, err := readAll(ref, Limits{})
			require.NoError(t, err)
			require.Equal(t, want, files)
			require.Equal(t, sum(data), r.Digest())
			require.EqualValues(t, len(data), r.Consumed())
			if name == "padded to a tape block" {
				require.Equal(t, sum(data), r.DiffID())
			} else {
				require.Equal(t, sum(plain), r.DiffID())
			}

			ref.Digest = sum(data)
			_, _, err = readAll(ref, Limits{})
			require.NoError(t, err)

			ref.Digest = sum([]byte("something else"))
			_, _, err = readAll(ref, Limits{})
			var mismatch *DigestError
			require.ErrorAs(t, err, &mismatch)
			require.Equal(t, DigestError{URI: ref.URI, Want: ref.Digest, Got: sum(data)}, *mismatch)
		})
	}
}

func TestArchiveErrors(t *testing.T) {
	plain := makeTar(t, "a", noise(10000))
	damaged := gzipped(t, plain)
	damaged[len(damaged)/2] ^= 0xff
	badHeader := makeTar(t, "a", "x", "b", "x")
	badHeader[1024] ^= 0xff
	tests := []struct {
		name string
		data []byte
		is   error
		text string
	}{
		{"empty file", nil, ErrNotArchive, "it is empty"},
		{"text", []byte("hello"), ErrNotArchive, ""},
		{"long text", bytes.Repeat([]byte("hello world\n"), 100), ErrNotArchive, ""},
		{"compressed text", gzipped(t, bytes.Repeat([]byte("hello world\n"), 100)), ErrNotArchive, ""},
		{"zip", []byte("PK\x03\x04whatever"), ErrNotArchive, "zip"},
		{"bzip2", []byte("BZh91AY&SY"), errors.ErrUnsupported, "bzip2, which is not supported by this version (use gzip or zstd)"},
		{"xz", []byte("\xfd7zXZ\x00\x00\x04"), errors.ErrUnsupported, "xz, which is not supported"},
		{"damaged gzip", damaged, nil, "archive is damaged"},
		{"damaged header", badHeader, nil, "archive is damaged"},
		{"magic of gzip only", []byte("\x1f\x8b"), ErrTruncated, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ref := refTo(t, tt.data)
			_, _, err := readAll(ref, Limits{})
			require.Error(t, err)
			if tt.is != nil {
				require.ErrorIs(t, err, tt.is)
			}
			require.ErrorContains(t, err, tt.text)
			require.ErrorContains(t, err, "read "+ref.URI+": ")
		})
	}

	t.Run("missing", func(t *testing.T) {
		_, _, err := readAll(Ref{Scheme: SchemeTar, Path: "/nonexistent", URI: "tar:///nonexistent"}, Limits{})
		require.ErrorIs(t, err, fs.ErrNotExist)
	})
	t.Run("folder", func(t *testing.T) {
		_, _, err := readAll(Ref{Scheme: SchemeTar, Path: t.TempDir()}, Limits{})
		require.ErrorIs(t, err, ErrNotArchive)
		require.ErrorContains(t, err, "use file://")
	})
	t.Run("image", func(t *testing.T) {
		_, _, err := readAll(Ref{Scheme: SchemeImage, Name: "x:latest"}, Limits{})
		require.ErrorIs(t, err, errors.ErrUnsupported)
	})
}

// An archive that was cut anywhere is never taken for a complete one, not even
// between two entries, nor after one that ends in zeros.
func TestArchiveTruncated(t *testing.T) {
	plain := makeTar(t, "a", strings.Repeat("\x00", 1024), "b", "b", "zeros", strings.Repeat("\x00", 2048))
	for name, data := range map[string][]byte{"plain": plain, "gzip": gzipped(t, plain), "zstd": zstded(t, plain)} {
		t.Run(name, func(t *testing.T) {
			// Of two blocks of zeros at the end of a plain tar, one is enough.
			end := len(data)
			if name == "plain" {
				end -= 512
			}
			step := 1
			if name == "plain" {
				step = 128
			}
			for cut := step; cut < end; cut += step {
				_, _, err := readAll(refTo(t, data[:cut]), Limits{})
				require.Error(t, err, "cut at %d of %d", cut, len(data))
				if cut >= 512 && name == "plain" {
					require.ErrorIs(t, err, ErrTruncated, "cut at %d of %d", cut, len(data))
				}
			}
		})
	}
}

// bomb is a zstd archive of one file of zeros, four bytes for each 128 KiB.
func bomb(t testing.TB, size int) []byte {
	t.Helper()
	var head bytes.Buffer
	require.NoError(t, tar.NewWriter(&head).WriteHeader(&tar.Header{Name: "zeros", Size: int64(size)}))
	block := func(last, kind, size int) []byte {
		h := last | kind<<1 | size<<3
		return []byte{byte(h), byte(h >> 8), byte(h >> 16)}
	}
	const raw, repeated, most = 0, 1, 128 << 10
	data := []byte("\x28\xb5\x2f\xfd\x00\x38") // a window of 128 KiB
	data = append(append(data, block(0, raw, head.Len())...), head.Bytes()...)
	for range size / most {
		data = append(append(data, block(0, repeated, most)...), 0)
	}
	return append(append(data, block(1, repeated, 2*blockSize)...), 0)
}

func TestLimits(t *testing.T) {
	bomb := bomb(t, 300<<20)
	tests := []struct {
		name   string
		data   []byte
		limits Limits
		limit  string
	}{
		{"entries", makeTar(t, "a", "", "b", "", "c", ""), Limits{Entries: 2}, "entries"},
		{"entries suffice", makeTar(t, "a", "", "b", "", "c", ""), Limits{Entries: 3}, ""},
		{"bytes by the header", makeTar(t, "a", noise(1000)), Limits{Bytes: 999}, "bytes"},
		{"bytes of several", makeTar(t, "a", noise(1000), "b", noise(1000)), Limits{Bytes: 1999}, "bytes"},
		{"bytes after the end", gzipped(t, append(makeTar(t, "a", ""), make([]byte, 4<<20)...)), Limits{Bytes: 1 << 20}, "bytes"},
		{"ratio", bomb, Limits{}, "ratio"},
		{"ratio off", bomb, Limits{Ratio: -1}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := Open(t.Context(), refTo(t, tt.data), tt.limits)
			require.NoError(t, err)
			defer r.Close()
			err = Drain(r)
			if tt.limit == "" {
				require.NoError(t, err)
				return
			}
			var e *LimitError
			require.ErrorAs(t, err, &e)
			require.Equal(t, tt.limit, e.Limit)
			require.ErrorContains(t, err, tt.limit+" = ")
		})
	}
}

// However early a reader is closed or cancelled, its goroutines end.
func TestArchiveCloseEarly(t *testing.T) {
	data := zstded(t, makeTar(t, "a", noise(20<<20), "b", noise(20<<20)))
	ref := refTo(t, data)
	before := runtime.NumGoroutine()
	for range 10 {
		ctx, cancel := context.WithCancel(t.Context())
		r, err := Open(ctx, ref, Limits{})
		require.NoError(t, err)
		_, err = r.Next()
		require.NoError(t, err)
		cancel()
		_, err = io.Copy(io.Discard, r)
		require.ErrorIs(t, err, context.Canceled)
		require.NoError(t, r.Close())

		r, err = Open(t.Context(), ref, Limits{})
		require.NoError(t, err)
		require.NoError(t, r.Close())
	}
	for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
		require.True(t, time.Now().Before(deadline), "%d goroutines, %d before", runtime.NumGoroutine(), before)
	}
}

// Any bytes give entries or an error, in bounded memory and time, and complete
// archives give the digest of the bytes.
func FuzzArchive(f *testing.F) {
	plain := makeTar(f, "a", "a", "dir/b", "b")
	f.Add(plain)
	f.Add(plain[:1024])
	f.Add(gzipped(f, plain))
	f.Add(zstded(f, plain))
	f.Add([]byte("BZh"))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, r, err := readAll(refTo(t, data), Limits{Entries: 1000, Bytes: 8 << 20})
		if err == nil {
			require.Equal(t, sum(data), r.Digest())
		}
	})
}
