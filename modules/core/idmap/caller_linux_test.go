package idmap

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSubordinate(t *testing.T) {
	const text = `# of the tools' own
alice:100000:65536
bob:165536:65536
1000:300000:10
alice:400000:5
alice:500000:0
alice:-1:5
alice:99999999999:5
alice:1
 alice:600000:1 
`
	for _, test := range []struct {
		name  string
		names []string
		want  []Range
	}{
		{"by name and number", []string{"1000", "alice"}, []Range{
			{Host: 100000, Count: 65536}, {Host: 300000, Count: 10}, {Host: 400000, Count: 5}, {Host: 600000, Count: 1},
		}},
		{"another's", []string{"bob"}, []Range{{Host: 165536, Count: 65536}}},
		{"a part of a name", []string{"ali"}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			require.Equal(t, test.want, subordinate([]byte(text), test.names))
		})
	}
	require.Len(t, subordinate([]byte(text), nil), 5, "everybody's")
}

func TestIdentity(t *testing.T) {
	ids := IDs{
		UIDs: Map{{Host: 1000, Count: 1}, {Container: 1, Host: 100000, Count: 65536}},
		GIDs: Map{{Host: 1001, Count: 1}},
	}
	same := ids.Identity()
	require.Equal(t, IDs{
		UIDs: Map{{Count: 1}, {Container: 1, Host: 1, Count: 65536}},
		GIDs: Map{{Count: 1}},
	}, same)
	require.NoError(t, same.UIDs.Check())
	require.EqualValues(t, 65536, ids.UIDs.Last())
	require.Zero(t, Map(nil).Last())
	require.False(t, ids.Everybody())
	all, err := Parse("         0          0 4294967295\n")
	require.NoError(t, err)
	require.True(t, IDs{UIDs: all, GIDs: all}.Everybody())
	require.False(t, IDs{UIDs: all, GIDs: ids.GIDs}.Everybody())
}

// Whoever owns the process of a test is somebody here.
func TestOwn(t *testing.T) {
	ids, err := Own()
	require.NoError(t, err)
	_, _, err = ids.Host(0, 0)
	require.NoError(t, err)
	require.Equal(t, !ids.Everybody(), Confined())
}
