#include "textflag.h"

// The offsets are those of header and op in arena_linux.go.

// func start(h *header) (pid int64)
//
// The child has the caller's stack pointer and must not touch the stack: it
// keeps everything in registers, R19 for the header and R20 for the op.
TEXT ·start(SB), NOSPLIT, $0-16
	MOVD h+0(FP), R19

	// rt_sigprocmask(SIG_SETMASK, &h.all, &h.old, 8)
	MOVD $2, R0
	ADD  $16, R19, R1
	ADD  $24, R19, R2
	MOVD $8, R3
	MOVD $135, R8
	SVC

	// clone3(&h.clone, 88)
	ADD  $40, R19, R0
	MOVD $88, R1
	MOVD $435, R8
	SVC
	CBZ  R0, child

	MOVD R0, R20

	// rt_sigprocmask(SIG_SETMASK, &h.old, nil, 8)
	MOVD $2, R0
	ADD  $24, R19, R1
	MOVD $0, R2
	MOVD $8, R3
	MOVD $135, R8
	SVC
	MOVD R20, pid+8(FP)
	RET

child:
#include "walk_arm64.h"
