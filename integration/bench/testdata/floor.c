// floor IMAGE PROGRAM TOP CGROUP FILTER
//
// The launch of a container with the system calls of core/sandbox, written by
// hand in C and with CLONE_VFORK: what a start costs at the least. It is in a
// user namespace of its own, on an overlay of the layers IMAGE and TOP with
// mapped owners, in the cgroup CGROUP that is made for it, behind the filter of
// system calls in the file FILTER. Prints the nanoseconds of one start and exit
// for each line that it reads.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define AT_RECURSIVE_ 0x8000
#define MUST(x) ({ long r_ = (long)(x); if (r_ < 0) { dprintf(2, "floor: %s: %s\n", #x, strerror(errno)); _exit(77); } r_; })

static int root, dev, null_fd, empty;
static char *program;
static char *top;
static char *cgroup;
static struct sock_fprog filter;
static int user_ns, net_ns, second;
static char stack[65536] __attribute__((aligned(16)));
static char stack2[65536] __attribute__((aligned(16)));

static int in_root(const char *path, int flags) {
	struct open_how how = {.flags = flags | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
	return syscall(SYS_openat2, root, path, &how, sizeof how);
}

static int new_fs(const char *type, const char *options[][2], int attrs) {
	int fs = MUST(syscall(SYS_fsopen, type, FSOPEN_CLOEXEC));
	for (int i = 0; options && options[i][0]; i++)
		MUST(syscall(SYS_fsconfig, fs, options[i][1] ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG, options[i][0], options[i][1], 0));
	MUST(syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, 0, 0, 0));
	return MUST(syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, attrs));
}

static void attach(int mount, int target) {
	MUST(syscall(SYS_move_mount, mount, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH));
}

static void set_attr(int mount, int flags, struct mount_attr a) {
	MUST(syscall(SYS_mount_setattr, mount, "", AT_EMPTY_PATH | flags, &a, sizeof a));
}

static int clone_mount(int fd, int flags) {
	return MUST(syscall(SYS_open_tree, fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | flags));
}

static void mask(const char *path) {
	int at = in_root(path, O_PATH | O_DIRECTORY);
	if (at >= 0) {
		attach(clone_mount(empty, 0), at);
	} else if ((at = in_root(path, O_PATH)) >= 0) {
		attach(clone_mount(null_fd, 0), at);
	}
}

static void read_only(const char *path) {
	int at = in_root(path, O_PATH);
	if (at < 0) return;
	int tree = clone_mount(at, AT_RECURSIVE_);
	set_attr(tree, AT_RECURSIVE_, (struct mount_attr){.attr_set = MOUNT_ATTR_RDONLY});
	attach(tree, at);
}

static int child(void *unused) {
	const int nosuid = MOUNT_ATTR_NOSUID, nodev = MOUNT_ATTR_NODEV, noexec = MOUNT_ATTR_NOEXEC, ro = MOUNT_ATTR_RDONLY;
	MUST(syscall(SYS_mount, 0, "/", 0, 0x44000 /* MS_REC|MS_PRIVATE */, 0));
	set_attr(root, AT_RECURSIVE_, (struct mount_attr){.propagation = 1 << 18 /* MS_PRIVATE */});
	MUST(syscall(SYS_move_mount, root, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH));
	MUST(fchdir(root));

	int m = new_fs("proc", 0, nosuid | nodev | noexec);
	attach(m, MUST(in_root("/proc", O_PATH)));
	m = new_fs("sysfs", 0, ro | nosuid | nodev | noexec);
	attach(m, MUST(in_root("/sys", O_PATH)));
	m = new_fs("cgroup2", 0, ro | nosuid | nodev | noexec);
	attach(m, MUST(in_root("/sys/fs/cgroup", O_PATH)));
	attach(dev, MUST(in_root("/dev", O_PATH)));
	m = new_fs("devpts", (const char *[][2]){{"newinstance"}, {"ptmxmode", "0666"}, {"mode", "0620"}, {"gid", "5"}, {0}}, nosuid | noexec);
	attach(m, MUST(in_root("/dev/pts", O_PATH)));
	m = new_fs("tmpfs", (const char *[][2]){{"mode", "1777"}, {"size", "64m"}, {0}}, nosuid | nodev | noexec);
	attach(m, MUST(in_root("/dev/shm", O_PATH)));
	m = new_fs("mqueue", 0, nosuid | nodev | noexec);
	attach(m, MUST(in_root("/dev/mqueue", O_PATH)));

	null_fd = MUST(openat(dev, "null", O_RDWR | O_CLOEXEC));
	empty = new_fs("tmpfs", (const char *[][2]){{"mode", "0555"}, {0}}, ro | nosuid | nodev | noexec);
	static const char *masked[] = {"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys",
		"/proc/latency_stats", "/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats",
		"/sys/devices/virtual/powercap", "/sys/firmware"};
	for (unsigned i = 0; i < sizeof masked / sizeof *masked; i++) mask(masked[i]);
	static const char *fixed[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};
	for (unsigned i = 0; i < sizeof fixed / sizeof *fixed; i++) read_only(fixed[i]);
	set_attr(root, 0, (struct mount_attr){.attr_set = MOUNT_ATTR_RDONLY});

	MUST(syscall(SYS_pivot_root, ".", "."));
	MUST(syscall(SYS_umount2, ".", 2 /* MNT_DETACH */));
	MUST(chdir("/"));
	umask(022);
	MUST(syscall(SYS_setsid));
	syscall(SYS_keyctl, 1, 0);
	MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	for (int c = 0; c <= CAP_LAST_CAP; c++) MUST(prctl(PR_CAPBSET_DROP, c, 0, 0, 0));
	MUST(syscall(SYS_setgroups, 0, 0));
	MUST(syscall(SYS_setresgid, 0, 0, 0));
	MUST(syscall(SYS_setresuid, 0, 0, 0));
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[2] = {0};
	MUST(syscall(SYS_capset, &header, none));
	for (int i = 0; i < 3; i++) MUST(dup3(null_fd, i, 0));
	MUST(syscall(SYS_close_range, 3, ~0U, 4 /* CLOSE_RANGE_CLOEXEC */));
	for (int i = 1; i < 32; i++)
		if (i != SIGKILL && i != SIGSTOP) syscall(SYS_rt_sigaction, i, &(char[32]){0}, 0, 8);
	MUST(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter));
	execve(program, (char *[]){program, 0}, (char *[]){0});
	_exit(127);
}

// enter goes into the namespaces that were prepared, and leaves the rest to a
// process that has all others new.
static int enter(void *unused) {
	MUST(setns(net_ns, CLONE_NEWNET));
	MUST(setns(user_ns, CLONE_NEWUSER));
	MUST(syscall(SYS_setresgid, 0, 0, 0));
	MUST(syscall(SYS_setresuid, 0, 0, 0));
	MUST(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0));
	second = MUST(clone(child, stack2 + sizeof stack2, CLONE_PARENT | CLONE_VM | CLONE_VFORK | CLONE_NEWNS | CLONE_NEWPID |
		CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP | SIGCHLD, 0));
	_exit(0);
}

static int hold(void *unused) {
	MUST(unshare(CLONE_NEWUSER | CLONE_NEWNET));
	syscall(SYS_close_range, 0, ~0U, 0);
	for (;;) pause();
}

static void write_map(int pid, const char *name) {
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
	int fd = MUST(open(path, O_WRONLY | O_CLOEXEC));
	MUST(write(fd, "0 1073741824 65536", 18));
	close(fd);
}

static int open_ns(int pid, const char *name) {
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/ns/%s", pid, name);
	return MUST(open(path, O_RDONLY | O_CLOEXEC));
}

// prepare makes the namespaces of a user and the overlay that it sees.
static void prepare(const char *image) {
	int p[2];
	char b;
	MUST(pipe2(p, O_CLOEXEC));
	int pid = MUST(clone(hold, stack + sizeof stack, CLONE_VM | SIGCHLD, 0));
	close(p[1]);
	if (read(p[0], &b, 1) != 0) _exit(77);
	close(p[0]);
	write_map(pid, "uid_map");
	write_map(pid, "gid_map");
	user_ns = open_ns(pid, "user");
	net_ns = open_ns(pid, "net");
	MUST(kill(pid, SIGKILL));
	MUST(waitpid(pid, 0, 0));

	int lower = MUST(syscall(SYS_open_tree, AT_FDCWD, image, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
	set_attr(lower, 0, (struct mount_attr){.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = user_ns});
	int upper = MUST(open(top, O_PATH | O_DIRECTORY | O_CLOEXEC));
	int fs = MUST(syscall(SYS_fsopen, "overlay", FSOPEN_CLOEXEC));
	static const char *options[][2] = {{"source", "overlay"}, {"metacopy", "off"}, {"redirect_dir", "nofollow"}};
	for (unsigned i = 0; i < sizeof options / sizeof *options; i++)
		MUST(syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, options[i][0], options[i][1], 0));
	MUST(syscall(SYS_fsconfig, fs, FSCONFIG_SET_FD, "lowerdir+", 0, upper));
	MUST(syscall(SYS_fsconfig, fs, FSCONFIG_SET_FD, "lowerdir+", 0, lower));
	MUST(syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, 0, 0, 0));
	root = MUST(syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV));
	close(lower);
	close(upper);
	close(fs);
}

static void own(const char *name) {
	MUST(fchownat(dev, name, 1 << 30, 1 << 30, AT_SYMLINK_NOFOLLOW));
}

static void make_dev(void) {
	static const char *options[][2] = {{"mode", "0755"}, {"size", "64k"}, {"uid", "1073741824"}, {"gid", "1073741824"}, {0}};
	dev = new_fs("tmpfs", options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
	static const struct { const char *name; int major, minor; } nodes[] = {
		{"null", 1, 3}, {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0}};
	for (unsigned i = 0; i < sizeof nodes / sizeof *nodes; i++) {
		MUST(mknodat(dev, nodes[i].name, S_IFCHR | 0666, makedev(nodes[i].major, nodes[i].minor)));
		own(nodes[i].name);
		MUST(fchmodat(dev, nodes[i].name, 0666, 0));
	}
	static const char *links[][2] = {{"/proc/self/fd", "fd"}, {"/proc/self/fd/0", "stdin"}, {"/proc/self/fd/1", "stdout"},
		{"/proc/self/fd/2", "stderr"}, {"pts/ptmx", "ptmx"}};
	for (unsigned i = 0; i < sizeof links / sizeof *links; i++) {
		MUST(symlinkat(links[i][0], dev, links[i][1]));
		own(links[i][1]);
	}
	static const char *folders[] = {"pts", "shm", "mqueue"};
	for (unsigned i = 0; i < sizeof folders / sizeof *folders; i++) {
		MUST(mkdirat(dev, folders[i], 0755));
		own(folders[i]);
	}
}

static long now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000L + t.tv_nsec;
}

static void read_filter(const char *name) {
	static struct sock_filter code[BPF_MAXINSNS];
	int fd = MUST(open(name, O_RDONLY | O_CLOEXEC));
	filter.len = MUST(read(fd, code, sizeof code)) / sizeof *code;
	filter.filter = code;
	close(fd);
}

// launch starts enter, as the first of two clones, in the cgroup. The C library
// has no clone3, and a child on its parent's stack must not return from where it
// was made.
static int launch(int group) {
	struct clone_args args = {.flags = CLONE_VM | CLONE_VFORK | CLONE_INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = group};
#if defined __x86_64__
	long pid;
	__asm__ volatile("syscall" : "=a"(pid) : "a"(SYS_clone3), "D"(&args), "S"(sizeof args) : "rcx", "r11", "memory");
#elif defined __aarch64__
	register long number __asm__("x8") = SYS_clone3, size __asm__("x1") = sizeof args, pid __asm__("x0") = (long)&args;
	__asm__ volatile("svc 0" : "+r"(pid) : "r"(number), "r"(size) : "memory");
#endif
	if (pid == 0) _exit(enter(0));
	errno = -pid;
	return MUST(pid);
}

int main(int argc, char **argv) {
	if (argc != 6) return 2;
	program = argv[2];
	top = argv[3];
	cgroup = argv[4];
	read_filter(argv[5]);
	char line[16];
	while (fgets(line, sizeof line, stdin)) {
		long begin = now();
		prepare(argv[1]);
		set_attr(root, AT_RECURSIVE_, (struct mount_attr){.propagation = 1 << 18});
		make_dev();
		MUST(mkdir(cgroup, 0755));
		int group = MUST(open(cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
		int status, pid = launch(group);
		close(root);
		close(dev);
		MUST(waitpid(pid, &status, 0));
		close(user_ns);
		close(net_ns);
		MUST(waitpid(second, &status, 0));
		close(group);
		MUST(rmdir(cgroup));
		long end = now();
		if (status) {
			dprintf(2, "floor: the container's status is %x\n", status);
			return 1;
		}
		printf("%ld\n", end - begin);
		fflush(stdout);
	}
}
