package native_test

import (
	"net"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

func itoa(n uint16) string { return strconv.Itoa(int(n)) }

// freePort returns a port of the loopback address that nobody listens on.
func freePort(t *testing.T) uint16 {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return uint16(l.Addr().(*net.TCPAddr).Port)
}
