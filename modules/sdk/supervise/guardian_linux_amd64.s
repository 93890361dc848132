#include "textflag.h"

// func guardianCode() unsafe.Pointer
TEXT ·guardianCode(SB), NOSPLIT, $0-8
	LEAQ guardiancode<>(SB), AX
	MOVQ AX, ret+0(FP)
	RET

// guardiancode is not called: it is the text of a program, see guardian_linux.go.
// It runs at any address, without data and without Go.
//
// The stack has argc, argv and envp; R12 keeps the supervisor's argv, R14 the
// environment, BX the supervisor's id, R13 the second in which it was started.
// The memory at R15:
//
//	  0 a record of an end: id and wait status, 4 bytes each; when, a timespec
//	 32 a timespec
//	 48 a name
//	 64 how long to pause before the next supervisor, in ms
//	 72 whether this is the first
TEXT guardiancode<>(SB), NOSPLIT|NOFRAME, $0
	MOVQ SP, R12
	MOVQ 0(R12), AX
	LEAQ 16(R12)(AX*8), R14
	ADDQ $16, R12
	MOVQ SP, R15
	SUBQ $192, R15
	MOVQ $0, AX
	MOVQ AX, 24(R15)
	MOVQ AX, 56(R15)
	MOVQ AX, 64(R15)
	MOVQ $1, AX
	MOVQ AX, 72(R15)

	// prctl(PR_SET_NAME, "guardian")
	MOVQ $0x6e61696472617567, AX
	MOVQ AX, 48(R15)
	MOVQ $15, DI
	LEAQ 48(R15), SI
	MOVQ $157, AX
	SYSCALL

	// prctl(PR_SET_CHILD_SUBREAPER, 1)
	MOVQ $36, DI
	MOVQ $1, SI
	MOVQ $157, AX
	SYSCALL
	TESTQ AX, AX
	JNE  broken

	// close_range(6, -1, 0): what whoever ran the command happened to have open
	MOVQ $6, DI
	MOVQ $-1, SI
	MOVQ $0, DX
	MOVQ $436, AX
	SYSCALL

	// close_range(3, 5, CLOSE_RANGE_CLOEXEC)
	MOVQ $3, DI
	MOVQ $5, SI
	MOVQ $4, DX
	MOVQ $436, AX
	SYSCALL
	TESTQ AX, AX
	JNE  broken

start:
	// clock_gettime(CLOCK_MONOTONIC, &time)
	MOVQ $1, DI
	LEAQ 32(R15), SI
	MOVQ $228, AX
	SYSCALL
	MOVQ 32(R15), R13

	// clone(SIGCHLD, 0, nil, nil, 0)
	MOVQ $17, DI
	MOVQ $0, SI
	MOVQ $0, DX
	MOVQ $0, R10
	MOVQ $0, R8
	MOVQ $56, AX
	SYSCALL
	TESTQ AX, AX
	JLT  broken
	JEQ  child
	MOVQ AX, BX

	// dup2(1, 0): nobody waits for the next one
	MOVQ $1, DI
	MOVQ $0, SI
	MOVQ $33, AX
	SYSCALL

reap:
	// wait4(-1, &status, 0, nil)
	MOVQ $-1, DI
	LEAQ 4(R15), SI
	MOVQ $0, DX
	MOVQ $0, R10
	MOVQ $61, AX
	SYSCALL
	CMPQ AX, $-4 // EINTR
	JEQ  reap
	TESTQ AX, AX
	JLT  broken
	MOVQ AX, R9
	MOVL AX, 0(R15)

	// clock_gettime(CLOCK_REALTIME, &when)
	MOVQ $0, DI
	LEAQ 8(R15), SI
	MOVQ $228, AX
	SYSCALL

	// write(4, &record, 32)
	MOVQ $4, DI
	MOVQ R15, SI
	MOVQ $32, DX
	MOVQ $1, AX
	SYSCALL
	CMPQ R9, BX
	JNE  reap

	// The supervisor has ended: with 0, because there is nothing left to do.
	MOVL 4(R15), DI
	TESTL DI, DI
	JEQ  exit

	// clock_gettime(CLOCK_MONOTONIC, &time)
	MOVQ $1, DI
	LEAQ 32(R15), SI
	MOVQ $228, AX
	SYSCALL
	MOVQ 32(R15), CX
	SUBQ R13, CX

	// The first that exits early could not start, nor could the next.
	MOVQ 72(R15), AX
	TESTQ AX, AX
	JEQ  again
	MOVQ $0, AX
	MOVQ AX, 72(R15)
	CMPQ CX, $15
	JGE  again
	MOVL 4(R15), DI
	TESTL $0x7f, DI
	JNE  again
	SHRL $8, DI
	ANDL $0xff, DI
	JMP  exit

again:
	// The pause is none at first, and after a run of 10 s; then it doubles from
	// 0.1 s to 10 s.
	MOVQ 64(R15), DX
	CMPQ CX, $10
	JLT  pause
	MOVQ $0, DX

pause:
	// poll(nil, 0, pause)
	MOVQ DX, R9
	MOVQ $0, DI
	MOVQ $0, SI
	MOVQ $7, AX
	SYSCALL
	ADDQ R9, R9
	JNE  doubled
	MOVQ $100, R9

doubled:
	CMPQ R9, $10000
	JLE  next
	MOVQ $10000, R9

next:
	MOVQ R9, 64(R15)
	JMP  start

child:
	// execve(supervisor, argv, envp)
	MOVQ 0(R12), DI
	MOVQ R12, SI
	MOVQ R14, DX
	MOVQ $59, AX
	SYSCALL

broken:
	MOVQ $127, DI

exit:
	MOVQ $231, AX // exit_group
	SYSCALL
	UNDEF
