package cgroup

import (
	"io/fs"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSettings(t *testing.T) {
	all := Limits{
		Memory: 64 << 20, MemoryHigh: 48 << 20, Swap: 1 << 20, OOMGroup: true,
		CPUs: 0.25, CPUWeight: 200, CPUSet: "0-1", MemSet: "0", PIDs: 32, IOWeight: 50,
		IO: []IOLimits{{Major: 8, Minor: 16, ReadBPS: 1000, WriteIOPS: 20, Weight: 300}, {Major: 254, WriteBPS: 7}},
	}
	for _, test := range []struct {
		name        string
		limits      Limits
		want        []string
		controllers []string
	}{
		{
			"none",
			Limits{},
			[]string{
				"memory.oom.group 0", "memory.swap.max max", "memory.high max", "memory.max max", "cpu.max max 100000", "cpu.weight 100",
				"cpuset.cpus ", "cpuset.mems ", "pids.max max", "io.weight default 100",
			},
			nil,
		},
		{
			"all", all,
			[]string{
				"memory.oom.group 1", "memory.swap.max 1048576", "memory.high 50331648", "memory.max 67108864", "cpu.max 25000 100000", "cpu.weight 200",
				"cpuset.cpus 0-1", "cpuset.mems 0", "pids.max 32", "io.weight default 50",
				"io.weight 8:16 300", "io.max 8:16 rbps=1000 wbps=max riops=max wiops=20", "io.max 254:0 rbps=max wbps=7 riops=max wiops=max",
			},
			[]string{"memory", "cpu", "cpuset", "pids", "io"},
		},
		{
			"no swap at all, and a thousandth over a hundredth",
			Limits{Swap: NoSwap, CPUs: 0.011},
			[]string{
				"memory.oom.group 0", "memory.swap.max 0", "memory.high max", "memory.max max", "cpu.max 1100 100000", "cpu.weight 100",
				"cpuset.cpus ", "cpuset.mems ", "pids.max max", "io.weight default 100",
			},
			[]string{"memory", "cpu"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			require.NoError(t, test.limits.check())
			var got []string
			for _, s := range test.limits.settings() {
				got = append(got, s.file+" "+s.value)
			}
			require.Equal(t, test.want, got)
			require.Equal(t, test.controllers, test.limits.Controllers())
			for i, name := range test.controllers {
				rest := test.limits.Without(test.controllers[:i+1]...)
				require.Equal(t, test.controllers[i+1:], append([]string{}, rest.Controllers()...), "without %s and those before", name)
			}
		})
	}
}

func TestWrongLimits(t *testing.T) {
	for _, test := range []struct {
		name   string
		limits Limits
		want   string
	}{
		{"memory", Limits{Memory: -1}, "limits: -1 for memory is below zero: invalid argument"},
		{"high memory", Limits{MemoryHigh: -5}, "high memory"},
		{"swap", Limits{Swap: -2}, "limits: -2 for swap"},
		{"processes", Limits{PIDs: -1}, "processes"},
		{"too little processor", Limits{CPUs: 0.0099}, "limits: 0.0099 processors are not from 0.01 to 1048576"},
		{"negative processor", Limits{CPUs: -1}, "processors"},
		{"no number of processors", Limits{CPUs: math.NaN()}, "processors"},
		{"too many processors", Limits{CPUs: math.Inf(1)}, "processors"},
		{"weight", Limits{CPUWeight: 10001}, "weight 10001"},
		{"weight of a device", Limits{IO: []IOLimits{{Major: 8, Weight: -1}}}, "weight -1"},
		{"traffic", Limits{IO: []IOLimits{{Major: 8, ReadBPS: -1}}}, "traffic of device 8:0"},
		{"a device twice", Limits{IO: []IOLimits{{Major: 8}, {Major: 8}}}, "device 8:0 is there twice"},
		{"a set", Limits{CPUSet: "0\n1"}, `"0\n1" is no set`},
		{"a set of nodes", Limits{MemSet: "all"}, `"all" is no set`},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := test.limits.check()
			require.ErrorIs(t, err, fs.ErrInvalid)
			require.ErrorContains(t, err, test.want)
		})
	}
}
