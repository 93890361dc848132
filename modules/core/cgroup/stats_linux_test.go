package cgroup

import (
	"testing"
	"time"

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

func TestParsePressure(t *testing.T) {
	for _, test := range []struct {
		name, text string
		want       Pressure
		wrong      bool
	}{
		{
			name: "both",
			text: "some avg10=0.12 avg60=3.40 avg300=0.00 total=2500\nfull avg10=0.01 avg60=0.02 avg300=100.00 total=7\n",
			want: Pressure{
				Some: Stall{Avg10: 0.12, Avg60: 3.4, Total: 2500 * time.Microsecond},
				Full: Stall{Avg10: 0.01, Avg60: 0.02, Avg300: 100, Total: 7 * time.Microsecond},
			},
		},
		{name: "of processors before Linux 5.13", text: "some avg10=1.00 avg60=0.00 avg300=0.00 total=1\n", want: Pressure{Some: Stall{Avg10: 1, Total: time.Microsecond}}},
		{name: "another order", text: "some total=1 avg10=1.00\n", wrong: true},
		{name: "no number", text: "some avg10=x avg60=0.00 avg300=0.00 total=1\n", wrong: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := ParsePressure(test.text)
			if test.wrong {
				require.Error(t, err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, &test.want, got)
		})
	}
}
