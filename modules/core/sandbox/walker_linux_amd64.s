#include "textflag.h"

// func walkerCode() unsafe.Pointer
TEXT ·walkerCode(SB), NOSPLIT, $0-8
	LEAQ walkercode<>(SB), AX
	MOVQ AX, ret+0(FP)
	RET

// walkercode is not called: it is the text of a program, see walker_linux.go. It
// maps the arena and walks the ops there, without Go and without a stack.
TEXT walkercode<>(SB), NOSPLIT|NOFRAME, $0
	// mmap(walkerArena, size, PROT_READ|PROT_WRITE, MAP_SHARED|MAP_FIXED, fd, 0),
	// with fd and size from behind the headers of the file
	MOVQ $0x100000b0, AX
	MOVQ 0(AX), R8
	MOVQ 8(AX), SI
	MOVQ $0x20000000, DI
	MOVQ $3, DX
	MOVQ $0x11, R10
	MOVQ $0, R9
	MOVQ $9, AX
	SYSCALL
	MOVQ $0x20000000, R13
	CMPQ AX, R13
	JEQ  walk
	MOVQ $127, DI
	JMP  exit

walk:
#include "walk_amd64.h"
