package seccomp_test

import (
	"testing"

	"github.com/containust/containust/modules/core/seccomp"
)

func BenchmarkDefault(b *testing.B) {
	for b.Loop() {
		seccomp.Default()
	}
}

func BenchmarkCompileDefault(b *testing.B) {
	p := seccomp.Default()
	b.ReportAllocs()
	for b.Loop() {
		program, err := p.Compile(seccomp.Options{})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(len(program.Instructions)), "instructions")
	}
}
