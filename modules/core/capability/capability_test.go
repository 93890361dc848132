package capability_test

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/containust/containust/modules/core/capability"
	"github.com/stretchr/testify/require"
)

func TestParse(t *testing.T) {
	for name, want := range map[string]capability.Capability{
		"CAP_CHOWN":              0,
		"chown":                  0,
		"cap_net_raw":            13,
		"SYS_ADMIN":              21,
		"CAP_CHECKPOINT_RESTORE": 40,
	} {
		got, err := capability.Parse(name)
		require.NoError(t, err, name)
		require.Equal(t, want, got, name)
		again, err := capability.Parse(got.String())
		require.NoError(t, err)
		require.Equal(t, got, again)
	}
	for name, hint := range map[string]string{
		"NETRAW":   "CAP_NET_RAW",
		"sysadmin": "CAP_SYS_ADMIN",
		"docker":   "capabilities(7)",
		"":         "capabilities(7)",
		"CAP_":     "capabilities(7)",
		"CAP_13":   "capabilities(7)",
	} {
		_, err := capability.Parse(name)
		require.ErrorIs(t, err, capability.ErrUnknown, name)
		require.ErrorContains(t, err, hint, name)
	}
}

func TestSet(t *testing.T) {
	s, err := capability.ParseSet("CAP_SYS_TIME", "chown", "CHOWN")
	require.NoError(t, err)
	require.Equal(t, capability.Set(1|1<<25), s)
	require.Equal(t, "CAP_CHOWN,CAP_SYS_TIME", s.String())
	require.Equal(t, 2, s.Len())
	require.Equal(t, []capability.Capability{0, 25}, s.All())
	require.True(t, s.Has(capability.SYS_TIME))
	require.False(t, s.Has(capability.KILL))
	require.Equal(t, s, capability.Of(s.All()...))
	require.Equal(t, "none", capability.Set(0).String())
	require.Equal(t, "CAP_63", capability.Of(63).String())

	_, err = capability.ParseSet("chown", "everything")
	require.ErrorIs(t, err, capability.ErrUnknown)
}

func TestDocker(t *testing.T) {
	s, err := capability.ParseSet("docker")
	require.NoError(t, err)
	// CapEff of a process in a container that Docker started.
	want, err := capability.Decode("00000000a80425fb")
	require.NoError(t, err)
	require.Equal(t, want, s)
	s, err = capability.ParseSet("Docker", "SYS_PTRACE")
	require.NoError(t, err)
	require.Equal(t, want|1<<capability.SYS_PTRACE, s)
}

func TestDecode(t *testing.T) {
	s, err := capability.Decode("0000000000002001\n")
	require.NoError(t, err)
	require.Equal(t, capability.Of(capability.CHOWN, capability.NET_RAW), s)
	for _, bad := range []string{"", "xyz", "-1", "11111111111111111"} {
		_, err := capability.Decode(bad)
		require.ErrorContains(t, err, strconv.Quote(bad))
	}
}

func TestLast(t *testing.T) {
	b, err := os.ReadFile("/proc/sys/kernel/cap_last_cap")
	if err != nil {
		t.Skip("needs Linux with /proc")
	}
	want, err := strconv.Atoi(strings.TrimSpace(string(b)))
	require.NoError(t, err)
	got, err := capability.Last()
	require.NoError(t, err)
	require.EqualValues(t, want, got)
}
