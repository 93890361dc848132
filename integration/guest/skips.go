package main

import "strings"

// skips are the tests that may be skipped in the guest, each with the reason. A
// name stands for its subtests too.
var skips = []struct{ pkg, test, reason string }{
	{"modules/core/kerneltest", "TestLeak", "a part of TestLeaksAreFound, which runs it with an environment of its own"},
	{"modules/core/sandbox", "TestOpen", "where the kernel tells the exit status of others' children: Linux 6.15"},
	{"modules/core/sandbox", "TestAdopted", "the same"},
}

func maySkip(pkg, test string) bool {
	for _, s := range skips {
		if repository+s.pkg == pkg && (test == s.test || strings.HasPrefix(test, s.test+"/")) {
			return true
		}
	}
	return false
}
