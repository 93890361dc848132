package metrics

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseNetDev(t *testing.T) {
	text := `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:   99999     1    0    0    0     0          0         0     9999     1    0    0    0     0       0          0
  eth0: 1296      16    0    0    0     0          0         0      648     8    0    0    0     0       0          0
 veth1:4         1    0    0    0     0          0         0      2     1    0    0    0     0       0          0
`
	require.Equal(t, Traffic{In: 1300, Out: 650}, parseNetDev([]byte(text)))
}

func TestNumbers(t *testing.T) {
	text := []byte("inactive_anon 7\ninactive_file 4096\noom 1\noom_kill 2\n")
	for key, want := range map[string]int64{"inactive_anon ": 7, "inactive_file ": 4096, "oom_kill ": 2} {
		got, ok := keyed(text, key)
		require.True(t, ok, key)
		require.Equal(t, want, got, key)
	}
	_, ok := keyed(text, "active_file ")
	require.False(t, ok)
	io := []byte("8:16 rbytes=1459200 wbytes=314 rios=192 wios=353 dbytes=0 dios=0\n8:0 rbytes=5 wbytes=6 rios=1\n7:0\n")
	require.EqualValues(t, 1459205, total(io, "rbytes="))
	require.EqualValues(t, 320, total(io, "wbytes="))
	require.Equal(t, []int{12, 7}, numbers([]byte("12\n7\n")))
}
