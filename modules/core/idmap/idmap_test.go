package idmap_test

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/core/idmap"
)

func TestCheck(t *testing.T) {
	const most = math.MaxUint32
	for name, test := range map[string]struct {
		m    idmap.Map
		want string // empty: valid
	}{
		"everything":             {idmap.Map{{0, 0, most}}, ""},
		"the last id":            {idmap.Map{{most - 1, most - 1, 1}}, ""},
		"neighbours":             {idmap.Map{{0, 10, 5}, {5, 15, 5}, {10, 5, 5}}, ""},
		"none":                   {nil, "1 to 340"},
		"empty range":            {idmap.Map{{0, 0, 0}}, `"0 0 0" of an id map is empty`},
		"the invalid id inside":  {idmap.Map{{most, 0, 1}}, "goes beyond 4294967294"},
		"the invalid id outside": {idmap.Map{{0, 1, most}}, "goes beyond"},
		"overflow":               {idmap.Map{{0, most - 1, most}}, "goes beyond"},
		"overlap inside":         {idmap.Map{{0, 0, 10}, {9, 100, 1}}, `"0 0 10" and "9 100 1" of an id map overlap`},
		"overlap outside":        {idmap.Map{{0, 100, 10}, {10, 91, 10}}, "overlap"},
		"too many":               {make(idmap.Map, 341), "1 to 340"},
	} {
		t.Run(name, func(t *testing.T) {
			err := test.m.Check()
			if test.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, test.want)
		})
	}
}

func TestLookUp(t *testing.T) {
	m := idmap.Map{{0, 1000, 10}, {100, 5000, 1}}
	for inside, outside := range map[uint32]uint32{0: 1000, 9: 1009, 100: 5000} {
		got, ok := m.Host(inside)
		require.True(t, ok)
		require.Equal(t, outside, got)
		got, ok = m.Container(outside)
		require.True(t, ok)
		require.Equal(t, inside, got)
	}
	for _, id := range []uint32{10, 99, 101, math.MaxUint32} {
		_, ok := m.Host(id)
		require.False(t, ok, id)
	}
	for _, id := range []uint32{0, 999, 1010, 5001} {
		_, ok := m.Container(id)
		require.False(t, ok, id)
	}

	ids := idmap.Contiguous(524288)
	uid, gid, err := ids.Host(33, 65535)
	require.NoError(t, err)
	require.EqualValues(t, 524321, uid)
	require.EqualValues(t, 589823, gid)
	_, _, err = ids.Host(0, 65536)
	require.ErrorIs(t, err, idmap.ErrNotMapped)
	require.EqualError(t, err, "group 65536: no such id inside")
	require.NoError(t, idmap.Single(0, 0, math.MaxUint32-1, 7).UIDs.Check())
}

func TestParse(t *testing.T) {
	m, err := idmap.Parse("         0     524288      65536\n     70000       1000          1\n")
	require.NoError(t, err)
	require.Equal(t, idmap.Map{{0, 524288, 65536}, {70000, 1000, 1}}, m)
	require.Equal(t, "0 524288 65536\n70000 1000 1\n", m.String())

	for text, want := range map[string]string{
		"1 2\n":                   `"1 2" has 2 numbers, not 3`,
		"1 2 3 4":                 "4 numbers",
		"1 2 -3":                  `"-3" is no id`,
		"1 2 4294967296":          "is no id",
		"a 2 3":                   "is no id",
		"0 0 10\n5 100 1\n":       "overlap",
		"0 0 0":                   "is empty",
		"\n":                      "0 numbers",
		strings.Repeat("0\n", 10): "1 numbers",
	} {
		_, err := idmap.Parse(text)
		require.ErrorContains(t, err, want, "%q", text)
	}
}

// What is parsed is valid, is written as it was read, and leads there and back.
func FuzzParse(f *testing.F) {
	f.Add("0 524288 65536\n", uint32(33))
	f.Add("         0          0 4294967295\n", uint32(0))
	f.Add("0 0 1\n1 100 5\n4294967294 9 1", uint32(4294967294))
	f.Add("", uint32(1))
	f.Fuzz(func(t *testing.T, text string, id uint32) {
		m, err := idmap.Parse(text)
		if err != nil {
			return
		}
		if len(m) > 0 && m.Check() != nil {
			t.Fatalf("%q: invalid: %v", text, m.Check())
		}
		again, err := idmap.Parse(m.String())
		if err != nil || again.String() != m.String() {
			t.Fatalf("%q: got %q again, %v", text, again, err)
		}
		if host, ok := m.Host(id); ok {
			if back, ok := m.Container(host); !ok || back != id {
				t.Fatalf("%q: %d is %d outside, which is %d", text, id, host, back)
			}
		}
	})
}
