#include "textflag.h"

// func walkerCode() unsafe.Pointer
TEXT ·walkerCode(SB), NOSPLIT, $0-8
	MOVD $walkercode<>(SB), R0
	MOVD R0, ret+0(FP)
	RET

// walkercode is not called: it is the text of a program, see walker_linux.go. It
// maps the arena and walks the ops there, without Go and without a stack.
TEXT walkercode<>(SB), NOSPLIT|NOFRAME, $0
	// mmap(walkerArena, size, PROT_READ|PROT_WRITE, MAP_SHARED|MAP_FIXED, fd, 0),
	// with fd and size from behind the headers of the file
	MOVD $0x100000b0, R9
	MOVD 0(R9), R4
	MOVD 8(R9), R1
	MOVD $0x20000000, R0
	MOVD $3, R2
	MOVD $0x11, R3
	MOVD $0, R5
	MOVD $222, R8
	SVC
	MOVD $0x20000000, R19
	CMP  R19, R0
	BEQ  walk
	MOVD $127, R0
	B    exit

walk:
#include "walk_arm64.h"
