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
