package cgroup

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseIOStat(t *testing.T) {
	for _, test := range []struct {
		name, text string
		want       []IOStats
		wrong      bool
	}{
		{name: "nothing yet", text: "", want: []IOStats{}},
		{name: "a device without traffic", text: "254:0\n", want: []IOStats{}},
		{
			name: "two devices, and a field of another controller",
			text: "8:16 rbytes=1459200 wbytes=314773504 rios=192 wios=353 dbytes=7 dios=1 cost.usage=9\n" +
				"8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n",
			want: []IOStats{
				{Major: 8, Minor: 16, ReadBytes: 1459200, WriteBytes: 314773504, ReadOps: 192, WriteOps: 353, DiscardBytes: 7, DiscardOps: 1},
				{Major: 8, ReadBytes: 1, WriteBytes: 2, ReadOps: 3, WriteOps: 4, DiscardBytes: 5, DiscardOps: 6},
			},
		},
		{name: "no device", text: "x rbytes=1\n", wrong: true},
		{name: "no number", text: "8:0 rbytes=x\n", wrong: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := parseIOStat(test.text)
			if test.wrong {
				require.Error(t, err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, test.want, got)
		})
	}
}
