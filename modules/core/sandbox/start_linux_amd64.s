#include "textflag.h"

// The offsets are those of header and op in arena_linux.go.

// func start(h *header) (pid int64)
//
// The child has the caller's stack pointer and must not touch the stack: it
// keeps everything in registers, R13 for the header and R12 for the op.
TEXT ·start(SB), NOSPLIT, $0-16
	MOVQ h+0(FP), R13

	// rt_sigprocmask(SIG_SETMASK, &h.all, &h.old, 8)
	MOVQ $2, DI
	LEAQ 16(R13), SI
	LEAQ 24(R13), DX
	MOVQ $8, R10
	MOVQ $14, AX
	SYSCALL

	// clone3(&h.clone, 88)
	LEAQ 40(R13), DI
	MOVQ $88, SI
	MOVQ $435, AX
	SYSCALL
	TESTQ AX, AX
	JEQ  child

	MOVQ AX, R12

	// rt_sigprocmask(SIG_SETMASK, &h.old, nil, 8)
	MOVQ $2, DI
	LEAQ 24(R13), SI
	MOVQ $0, DX
	MOVQ $8, R10
	MOVQ $14, AX
	SYSCALL
	MOVQ R12, pid+8(FP)
	RET

child:
	MOVQ 32(R13), R12 // h.first

step:
	MOVQ R12, 0(R13) // h.at

again:
	MOVQ 0(R12), AX
	MOVQ 8(R12), DI
	MOVQ 16(R12), SI
	MOVQ 24(R12), DX
	MOVQ 32(R12), R10
	MOVQ 40(R12), R8
	MOVQ 48(R12), R9

	// Arguments named in op.refs are addresses of values.
	MOVQ 56(R12), BX
	TESTQ $1, BX
	JEQ  2(PC)
	MOVQ (DI), DI
	TESTQ $2, BX
	JEQ  2(PC)
	MOVQ (SI), SI
	TESTQ $4, BX
	JEQ  2(PC)
	MOVQ (DX), DX
	TESTQ $8, BX
	JEQ  2(PC)
	MOVQ (R10), R10
	TESTQ $16, BX
	JEQ  2(PC)
	MOVQ (R8), R8
	TESTQ $32, BX
	JEQ  2(PC)
	MOVQ (R9), R9

	SYSCALL
	MOVQ AX, 88(R12) // op.result
	MOVQ 80(R12), BX // op.flags
	CMPQ AX, $-4095
	JCC  failed

	TESTQ $1, BX // opFork
	JEQ  next
	TESTQ AX, AX
	JNE  leave   // the process between: its child goes on

next:
	ADDQ $96, R12
	JMP  step

failed:
	NEGQ AX
	TESTQ $2, BX // opAgain
	JEQ  judge
	CMPQ AX, $11 // EAGAIN
	JEQ  again

judge:
	CMPQ AX, $63
	JHI  fatal
	MOVQ 64(R12), BX // op.tolerate
	BTQ  AX, BX
	JCC  fatal
	MOVQ 72(R12), R12 // op.otherwise
	JMP  step

fatal:
	MOVQ AX, 8(R13) // h.errno
	MOVQ $127, DI
	JMP  exit

leave:
	MOVQ $0, DI

exit:
	MOVQ $231, AX // exit_group
	SYSCALL
	UNDEF // a system call filter denied even this
