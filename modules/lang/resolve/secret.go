package resolve

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// maxSecret bounds the file of a secret.
const maxSecret = 1 << 20

// SecretDir returns a LookupSecret that reads the files of a folder, one for
// each secret. A file that others than its owner may read is refused (not on
// Windows, which has no such modes). One final newline is dropped.
func SecretDir(dir string) func(name string) (string, error) {
	return func(name string) (string, error) {
		path := filepath.Join(dir, name)
		// Looked at before it is opened: opening a pipe would wait.
		info, err := os.Stat(path)
		if err != nil {
			return "", fmt.Errorf("read secret %s: %w", name, err)
		}
		if !info.Mode().IsRegular() {
			return "", fmt.Errorf("read secret %s: %s is not a regular file", name, path)
		}
		if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
			return "", fmt.Errorf("read secret %s: %s has mode %04o, others may read it: chmod 600 %s: %w",
				name, path, info.Mode().Perm(), path, fs.ErrPermission)
		}
		f, err := os.Open(path)
		if err != nil {
			return "", fmt.Errorf("read secret %s: %w", name, err)
		}
		defer f.Close()
		text, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
		if err != nil {
			return "", fmt.Errorf("read secret %s: %w", name, err)
		}
		if len(text) > maxSecret {
			return "", fmt.Errorf("read secret %s: %s is larger than 1 MiB", name, path)
		}
		return strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r"), nil
	}
}
