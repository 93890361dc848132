#include "textflag.h"

// func guardianCode() unsafe.Pointer
TEXT ·guardianCode(SB), NOSPLIT, $0-8
	MOVD $guardiancode<>(SB), R0
	MOVD R0, ret+0(FP)
	RET

// guardiancode is not called: it is the text of a program, see guardian_linux.go.
// It runs at any address, without data and without Go.
//
// The stack has argc, argv and envp; R19 keeps the supervisor's argv, R21 the
// environment, R23 the supervisor's id, R20 the second in which it was started.
// The memory at R22:
//
//	  0 a record of an end: id and wait status, 4 bytes each; when, a timespec
//	 32 a timespec
//	 48 a name
//	 64 how long to pause before the next supervisor, in ms
//	 72 whether this is the first
TEXT guardiancode<>(SB), NOSPLIT|NOFRAME, $0
	MOVD RSP, R19
	MOVD (R19), R0
	ADD  R0<<3, R19, R21
	ADD  $16, R21
	ADD  $16, R19
	MOVD RSP, R22
	SUB  $192, R22
	MOVD ZR, 24(R22)
	MOVD ZR, 56(R22)
	MOVD ZR, 64(R22)
	MOVD $1, R0
	MOVD R0, 72(R22)

	// prctl(PR_SET_NAME, "guardian")
	MOVD $0x6e61696472617567, R0
	MOVD R0, 48(R22)
	MOVD $15, R0
	ADD  $48, R22, R1
	MOVD $167, R8
	SVC

	// prctl(PR_SET_CHILD_SUBREAPER, 1)
	MOVD $36, R0
	MOVD $1, R1
	MOVD $167, R8
	SVC
	CBNZ R0, broken

	// close_range(6, -1, 0): what whoever ran the command happened to have open
	MOVD $6, R0
	MOVD $-1, R1
	MOVD $0, R2
	MOVD $436, R8
	SVC

	// close_range(3, 5, CLOSE_RANGE_CLOEXEC)
	MOVD $3, R0
	MOVD $5, R1
	MOVD $4, R2
	MOVD $436, R8
	SVC
	CBNZ R0, broken

start:
	// clock_gettime(CLOCK_MONOTONIC, &time)
	MOVD $1, R0
	ADD  $32, R22, R1
	MOVD $113, R8
	SVC
	MOVD 32(R22), R20

	// clone(SIGCHLD, 0, nil, 0, nil)
	MOVD $17, R0
	MOVD $0, R1
	MOVD $0, R2
	MOVD $0, R3
	MOVD $0, R4
	MOVD $220, R8
	SVC
	CBZ  R0, child
	TBNZ $63, R0, broken
	MOVD R0, R23

	// dup3(1, 0, 0): nobody waits for the next one
	MOVD $1, R0
	MOVD $0, R1
	MOVD $0, R2
	MOVD $24, R8
	SVC

reap:
	// wait4(-1, &status, 0, nil)
	MOVD $-1, R0
	ADD  $4, R22, R1
	MOVD $0, R2
	MOVD $0, R3
	MOVD $260, R8
	SVC
	CMN  $4, R0 // EINTR
	BEQ  reap
	TBNZ $63, R0, broken
	MOVD R0, R24
	MOVW R0, 0(R22)

	// clock_gettime(CLOCK_REALTIME, &when)
	MOVD $0, R0
	ADD  $8, R22, R1
	MOVD $113, R8
	SVC

	// write(4, &record, 32)
	MOVD $4, R0
	MOVD R22, R1
	MOVD $32, R2
	MOVD $64, R8
	SVC
	CMP  R23, R24
	BNE  reap

	// The supervisor has ended: with 0, because there is nothing left to do.
	MOVWU 4(R22), R0
	CBZ   R0, exit

	// clock_gettime(CLOCK_MONOTONIC, &time)
	MOVD $1, R0
	ADD  $32, R22, R1
	MOVD $113, R8
	SVC
	MOVD 32(R22), R1
	SUB  R20, R1

	// The first that exits early could not start, nor could the next.
	MOVD  72(R22), R0
	CBZ   R0, again
	MOVD  ZR, 72(R22)
	CMP   $15, R1
	BGE   again
	MOVWU 4(R22), R0
	AND   $0x7f, R0, R2
	CBNZ  R2, again
	UBFX  $8, R0, $8, R0
	B     exit

again:
	// The pause is none at first, and after a run of 10 s; then it doubles from
	// 0.1 s to 10 s.
	MOVD 64(R22), R24
	CMP  $10, R1
	BLT  pause
	MOVD $0, R24

pause:
	// ppoll(nil, 0, &pause, nil, 8)
	MOVD $1000, R1
	UDIV R1, R24, R2
	MSUB R1, R24, R2, R3
	MOVD R2, 32(R22)
	MOVD $1000000, R1
	MUL  R1, R3
	MOVD R3, 40(R22)
	MOVD $0, R0
	MOVD $0, R1
	ADD  $32, R22, R2
	MOVD $0, R3
	MOVD $8, R4
	MOVD $73, R8
	SVC
	ADD  R24, R24
	CBNZ R24, doubled
	MOVD $100, R24

doubled:
	MOVD $10000, R0
	CMP  R0, R24
	BLE  next
	MOVD R0, R24

next:
	MOVD R24, 64(R22)
	B    start

child:
	// execve(supervisor, argv, envp)
	MOVD (R19), R0
	MOVD R19, R1
	MOVD R21, R2
	MOVD $221, R8
	SVC

broken:
	MOVD $127, R0

exit:
	MOVD $94, R8 // exit_group
	SVC
	UNDEF
