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
#include "walk_amd64.h"
