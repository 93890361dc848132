#include "textflag.h"

// func initCode() unsafe.Pointer
TEXT ·initCode(SB), NOSPLIT, $0-8
	MOVD $initcode<>(SB), R0
	MOVD R0, ret+0(FP)
	RET

// initcode is not called: it is the text of a program, see init_linux.go. It
// runs at any address, without data and without Go.
//
// The stack has argc, argv and envp; R19 keeps the command's argv, R20 the
// places to look for it, R21 its environment. The memory at R22:
//
//	  0 the set of all signals
//	  8 an empty set, or no time at all
//	 24 a name
//	 32 the child's id, in the child
//	 40 a record: the error, then the step
//	 48 a wait status
//	 56 a siginfo
//
// R23 is the step that a record tells, as initStep numbers them, and in the end
// the child's id.
TEXT initcode<>(SB), NOSPLIT|NOFRAME, $0
	MOVD RSP, R19
	MOVD (R19), R0
	ADD  R0<<3, R19, R20
	ADD  $16, R20
	ADD  $16, R19
	MOVD RSP, R22
	SUB  $192, R22
	MOVD $-1, R0
	MOVD R0, 0(R22)
	MOVD ZR, 8(R22)
	MOVD ZR, 16(R22)

	// The environment begins after an empty word.
	MOVD R20, R21

skip:
	MOVD.P 8(R21), R0
	MOVBU  (R0), R0
	CBNZ   R0, skip

	// prctl(PR_SET_NAME, "init"), whether it may or not
	MOVD $0x74696e69, R0
	MOVD R0, 24(R22)
	MOVD $15, R0
	ADD  $24, R22, R1
	MOVD $167, R8
	SVC

	// fcntl(3, F_SETFD, FD_CLOEXEC)
	MOVD $1, R23
	MOVD $3, R0
	MOVD $2, R1
	MOVD $1, R2
	MOVD $25, R8
	SVC
	CBNZ R0, fail

	// ioctl(0, TIOCSCTTY, 0), in vain without a terminal
	MOVD $0, R0
	MOVD $0x540e, R1
	MOVD $0, R2
	MOVD $29, R8
	SVC

	// What comes later is tried as long as somebody hears of a failure.

	// rt_sigtimedwait({}, nil, {0, 0}, 8) is EAGAIN
	MOVD $2, R23
	ADD  $8, R22, R0
	MOVD $0, R1
	ADD  $8, R22, R2
	MOVD $8, R3
	MOVD $137, R8
	SVC
	CMN  $11, R0
	BNE  fail

	// wait4(-1, nil, WNOHANG, nil) is ECHILD
	MOVD $3, R23
	MOVD $-1, R0
	MOVD $0, R1
	MOVD $1, R2
	MOVD $0, R3
	MOVD $260, R8
	SVC
	CMN  $10, R0
	BNE  fail

	// kill(0, 0)
	MOVD $4, R23
	MOVD $0, R0
	MOVD $0, R1
	MOVD $129, R8
	SVC
	CBNZ R0, fail

	// close(-1) is EBADF
	MOVD $5, R23
	MOVD $-1, R0
	MOVD $57, R8
	SVC
	CMN  $9, R0
	BNE  fail

	// clone(CLONE_CHILD_SETTID | SIGCHLD, 0, nil, 0, &id)
	MOVD $6, R23
	MOVD $0x01000011, R0
	MOVD $0, R1
	MOVD $0, R2
	MOVD $0, R3
	ADD  $32, R22, R4
	MOVD $220, R8
	SVC
	CBZ  R0, child
	TBNZ $63, R0, fail
	MOVD R0, R23

	// close(3)
	MOVD $3, R0
	MOVD $57, R8
	SVC

wait:
	// rt_sigtimedwait(all, &info, nil, 8)
	MOVD R22, R0
	ADD  $56, R22, R1
	MOVD $0, R2
	MOVD $8, R3
	MOVD $137, R8
	SVC
	CMN  $4, R0 // EINTR
	BEQ  wait
	TBNZ $63, R0, give
	CMP  $17, R0 // SIGCHLD
	BEQ  reap

	// kill(child, signal)
	MOVD R0, R1
	MOVD R23, R0
	MOVD $129, R8
	SVC
	B    wait

reap:
	// wait4(-1, &status, WNOHANG, nil)
	MOVD $-1, R0
	ADD  $48, R22, R1
	MOVD $1, R2
	MOVD $0, R3
	MOVD $260, R8
	SVC
	CMP  $0, R0
	BLE  wait
	CMP  R23, R0
	BNE  reap

	MOVWU 48(R22), R1
	AND   $0x7f, R1, R0
	CBNZ  R0, signalled
	UBFX  $8, R1, $8, R0
	B     exit

signalled:
	ADD $128, R0
	B   exit

child:
	// setpgid(0, 0)
	MOVD $7, R23
	MOVD $0, R0
	MOVD $0, R1
	MOVD $154, R8
	SVC
	CBNZ R0, fail

	// ioctl(0, TIOCSPGRP, &id), likewise. SIGTTOU is blocked.
	MOVD $0, R0
	MOVD $0x5410, R1
	ADD  $32, R22, R2
	MOVD $29, R8
	SVC

	// rt_sigprocmask(SIG_SETMASK, {}, nil, 8)
	MOVD $8, R23
	MOVD $2, R0
	ADD  $8, R22, R1
	MOVD $0, R2
	MOVD $8, R3
	MOVD $135, R8
	SVC
	CBNZ R0, fail

	// write(3, &record, 8): only the command itself is left
	MOVD $9, R23
	LSL  $32, R23, R0
	MOVD R0, 40(R22)
	MOVD $3, R0
	ADD  $40, R22, R1
	MOVD $8, R2
	MOVD $64, R8
	SVC
	CMP  $8, R0
	BNE  give

	MOVD $10, R23

try:
	MOVD  (R20), R0
	MOVBU (R0), R1
	CBZ   R1, give
	ADD   $8, R20

	// execve(place, argv, envp)
	MOVD R19, R1
	MOVD R21, R2
	MOVD $221, R8
	SVC

fail:
	// write(3, &record, 8)
	NEG  R0, R24
	LSL  $32, R23, R0
	ORR  R24, R0, R0
	MOVD R0, 40(R22)
	MOVD $3, R0
	ADD  $40, R22, R1
	MOVD $8, R2
	MOVD $64, R8
	SVC

	// After an execve, some errors send it to the next place: see elsewhere in
	// command_linux.go.
	CMP  $10, R23
	BNE  give
	CMP  $63, R24
	BHI  give
	MOVD $(1<<2 | 1<<13 | 1<<20 | 1<<36 | 1<<40), R0
	LSR  R24, R0, R0
	TBNZ $0, R0, try

give:
	MOVD $127, R0

exit:
	MOVD $94, R8 // exit_group
	SVC
	UNDEF // a system call filter denied even this
