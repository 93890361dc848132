package native_test

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/core/kerneltest"
)

func itoa(n uint16) string { return strconv.Itoa(int(n)) }

// buildGet compiles testdata/get and returns the static program.
func buildGet(t *testing.T) []byte {
	t.Helper()
	return build(t, "get")
}

// build compiles a program of testdata.
func build(t *testing.T, name string) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, kerneltest.Build(path, "./testdata/"+name))
	program, err := os.ReadFile(path)
	require.NoError(t, err)
	return program
}

// freePort returns a port of the loopback address that nobody listens on.
func freePort(t *testing.T) uint16 {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return uint16(l.Addr().(*net.TCPAddr).Port)
}
