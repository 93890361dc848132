	MOVD 32(R19), R20 // h.first

step:
	MOVD R20, 0(R19) // h.at

again:
	MOVD 0(R20), R8
	MOVD 8(R20), R0
	MOVD 16(R20), R1
	MOVD 24(R20), R2
	MOVD 32(R20), R3
	MOVD 40(R20), R4
	MOVD 48(R20), R5

	// Arguments named in op.refs are addresses of values.
	MOVD 56(R20), R9
	TBZ  $0, R9, 2(PC)
	MOVD (R0), R0
	TBZ  $1, R9, 2(PC)
	MOVD (R1), R1
	TBZ  $2, R9, 2(PC)
	MOVD (R2), R2
	TBZ  $3, R9, 2(PC)
	MOVD (R3), R3
	TBZ  $4, R9, 2(PC)
	MOVD (R4), R4
	TBZ  $5, R9, 2(PC)
	MOVD (R5), R5

	SVC
	MOVD R0, 88(R20) // op.result
	MOVD 80(R20), R9 // op.flags
	CMN  $4095, R0
	BCS  failed

	TBZ  $0, R9, next // opFork
	CBNZ R0, leave    // the process between: its child goes on

next:
	ADD  $96, R20
	B    step

failed:
	NEG  R0, R0
	TBZ  $1, R9, judge // opAgain
	CMP  $11, R0       // EAGAIN
	BEQ  again

judge:
	CMP  $63, R0
	BHI  fatal
	MOVD 64(R20), R9 // op.tolerate
	LSR  R0, R9, R9
	TBZ  $0, R9, fatal
	MOVD 72(R20), R20 // op.otherwise
	B    step

fatal:
	MOVD R0, 8(R19) // h.errno
	MOVD $127, R0
	B    exit

leave:
	MOVD $0, R0

exit:
	MOVD $94, R8 // exit_group
	SVC
	UNDEF // a system call filter denied even this
