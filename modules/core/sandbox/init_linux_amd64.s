#include "textflag.h"

// func initCode() unsafe.Pointer
TEXT ·initCode(SB), NOSPLIT, $0-8
	LEAQ initcode<>(SB), AX
	MOVQ AX, ret+0(FP)
	RET

// initcode is not called: it is the text of a program, see init_linux.go. It
// runs at any address, without data and without Go.
//
// The stack has argc, argv and envp; R12 keeps the command's argv, R13 the
// places to look for it, R14 its environment. The memory at R15:
//
//	  0 the set of all signals
//	  8 an empty set, or no time at all
//	 24 a name
//	 32 the child's id, in the child
//	 40 a record: the error, then the step
//	 48 a wait status
//	 56 a siginfo
//
// BX is the step that a record tells, as initStep numbers them, and in the end
// the child's id.
TEXT initcode<>(SB), NOSPLIT|NOFRAME, $0
	MOVQ SP, R12
	MOVQ 0(R12), AX
	LEAQ 16(R12)(AX*8), R13
	ADDQ $16, R12
	MOVQ SP, R15
	SUBQ $192, R15
	MOVQ $-1, AX
	MOVQ AX, 0(R15)
	MOVQ $0, AX
	MOVQ AX, 8(R15)
	MOVQ AX, 16(R15)

	// The environment begins after an empty word.
	MOVQ R13, R14

skip:
	MOVQ (R14), AX
	ADDQ $8, R14
	CMPB (AX), $0
	JNE  skip

	// prctl(PR_SET_NAME, "init"), whether it may or not
	MOVQ $0x74696e69, AX
	MOVQ AX, 24(R15)
	MOVQ $15, DI
	LEAQ 24(R15), SI
	MOVQ $157, AX
	SYSCALL

	// fcntl(3, F_SETFD, FD_CLOEXEC)
	MOVQ $1, BX
	MOVQ $3, DI
	MOVQ $2, SI
	MOVQ $1, DX
	MOVQ $72, AX
	SYSCALL
	TESTQ AX, AX
	JNE  fail

	// ioctl(0, TIOCSCTTY, 0), in vain without a terminal
	MOVQ $0, DI
	MOVQ $0x540e, SI
	MOVQ $0, DX
	MOVQ $16, AX
	SYSCALL

	// What comes later is tried as long as somebody hears of a failure.

	// rt_sigtimedwait({}, nil, {0, 0}, 8) is EAGAIN
	MOVQ $2, BX
	LEAQ 8(R15), DI
	MOVQ $0, SI
	LEAQ 8(R15), DX
	MOVQ $8, R10
	MOVQ $128, AX
	SYSCALL
	CMPQ AX, $-11
	JNE  fail

	// wait4(-1, nil, WNOHANG, nil) is ECHILD
	MOVQ $3, BX
	MOVQ $-1, DI
	MOVQ $0, SI
	MOVQ $1, DX
	MOVQ $0, R10
	MOVQ $61, AX
	SYSCALL
	CMPQ AX, $-10
	JNE  fail

	// kill(0, 0)
	MOVQ $4, BX
	MOVQ $0, DI
	MOVQ $0, SI
	MOVQ $62, AX
	SYSCALL
	TESTQ AX, AX
	JNE  fail

	// close(-1) is EBADF
	MOVQ $5, BX
	MOVQ $-1, DI
	MOVQ $3, AX
	SYSCALL
	CMPQ AX, $-9
	JNE  fail

	// clone(CLONE_CHILD_SETTID | SIGCHLD, 0, nil, &id, 0)
	MOVQ $6, BX
	MOVQ $0x01000011, DI
	MOVQ $0, SI
	MOVQ $0, DX
	LEAQ 32(R15), R10
	MOVQ $0, R8
	MOVQ $56, AX
	SYSCALL
	TESTQ AX, AX
	JLT  fail
	JEQ  child
	MOVQ AX, BX

	// close(3)
	MOVQ $3, DI
	MOVQ $3, AX
	SYSCALL

wait:
	// rt_sigtimedwait(all, &info, nil, 8)
	MOVQ R15, DI
	LEAQ 56(R15), SI
	MOVQ $0, DX
	MOVQ $8, R10
	MOVQ $128, AX
	SYSCALL
	CMPQ AX, $-4 // EINTR
	JEQ  wait
	TESTQ AX, AX
	JLT  give
	CMPQ AX, $17 // SIGCHLD
	JEQ  reap

	// kill(child, signal)
	MOVQ BX, DI
	MOVQ AX, SI
	MOVQ $62, AX
	SYSCALL
	JMP  wait

reap:
	// wait4(-1, &status, WNOHANG, nil)
	MOVQ $-1, DI
	LEAQ 48(R15), SI
	MOVQ $1, DX
	MOVQ $0, R10
	MOVQ $61, AX
	SYSCALL
	TESTQ AX, AX
	JLE  wait
	CMPQ AX, BX
	JNE  reap

	MOVL 48(R15), AX
	MOVL AX, DI
	ANDL $0x7f, DI
	JNE  signalled
	MOVL AX, DI
	SHRL $8, DI
	ANDL $0xff, DI
	JMP  exit

signalled:
	ADDL $128, DI
	JMP  exit

child:
	// setpgid(0, 0)
	MOVQ $7, BX
	MOVQ $0, DI
	MOVQ $0, SI
	MOVQ $109, AX
	SYSCALL
	TESTQ AX, AX
	JNE  fail

	// ioctl(0, TIOCSPGRP, &id), likewise. SIGTTOU is blocked.
	MOVQ $0, DI
	MOVQ $0x5410, SI
	LEAQ 32(R15), DX
	MOVQ $16, AX
	SYSCALL

	// rt_sigprocmask(SIG_SETMASK, {}, nil, 8)
	MOVQ $8, BX
	MOVQ $2, DI
	LEAQ 8(R15), SI
	MOVQ $0, DX
	MOVQ $8, R10
	MOVQ $14, AX
	SYSCALL
	TESTQ AX, AX
	JNE  fail

	// write(3, &record, 8): only the command itself is left
	MOVQ $9, BX
	MOVQ BX, AX
	SHLQ $32, AX
	MOVQ AX, 40(R15)
	MOVQ $3, DI
	LEAQ 40(R15), SI
	MOVQ $8, DX
	MOVQ $1, AX
	SYSCALL
	CMPQ AX, $8
	JNE  give

	MOVQ $10, BX

try:
	MOVQ (R13), DI
	CMPB (DI), $0
	JEQ  give
	ADDQ $8, R13

	// execve(place, argv, envp)
	MOVQ R12, SI
	MOVQ R14, DX
	MOVQ $59, AX
	SYSCALL

fail:
	// write(3, &record, 8)
	NEGQ AX
	MOVQ BX, CX
	SHLQ $32, CX
	ORQ  AX, CX
	MOVQ CX, 40(R15)
	MOVQ AX, R8
	MOVQ $3, DI
	LEAQ 40(R15), SI
	MOVQ $8, DX
	MOVQ $1, AX
	SYSCALL

	// After an execve, some errors send it to the next place: see elsewhere in
	// command_linux.go.
	CMPQ BX, $10
	JNE  give
	CMPQ R8, $63
	JHI  give
	MOVQ $(1<<2 | 1<<13 | 1<<20 | 1<<36 | 1<<40), AX
	BTQ  R8, AX
	JCS  try

give:
	MOVQ $127, DI

exit:
	MOVQ $231, AX // exit_group
	SYSCALL
	UNDEF // a system call filter denied even this
