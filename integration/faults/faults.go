// Package faults holds the suite of accidents: commands, supervisors and
// guardians that are killed at random moments, disks that are full, archives that
// end early. After each the next command works, what it says is what the kernel
// has, and a stop leaves nothing.
//
//	go test ./integration/faults
//	make test-long        # 200 moments each
//
// The tests deploy with the command as it is built, and need Linux and root;
// elsewhere they are skipped, or fail where CTST_TEST_REQUIRE says that nothing
// may be missing. A clock that jumps is tried in the guest of make test-vm alone:
// it would be the machine's.
package faults
