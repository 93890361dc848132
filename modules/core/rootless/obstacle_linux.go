package rootless

import (
	"os"
	"path/filepath"
	"strings"
)

// Obstacle tells which setting of this machine keeps ordinary users from user
// namespaces, and how to change it; both are empty where none does.
func Obstacle() (reason, mend string) { return obstacle("/proc/sys") }

// obstacle looks for settings below a folder of sysctls.
func obstacle(sysctls string) (reason, mend string) {
	for _, s := range []struct{ name, bad, reason, mend string }{
		{
			"kernel/apparmor_restrict_unprivileged_userns", "1",
			"AppArmor lets only programs with a profile use user namespaces",
			"install ctst's profile in /etc/apparmor.d, or sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
		}, {
			"kernel/unprivileged_userns_clone", "0",
			"ordinary users may not make user namespaces",
			"sysctl -w kernel.unprivileged_userns_clone=1",
		}, {
			"user/max_user_namespaces", "0",
			"no user namespace may be made",
			"sysctl -w user.max_user_namespaces=15000",
		},
	} {
		// Most kernels don't have all of them.
		value, err := os.ReadFile(filepath.Join(sysctls, s.name))
		if err == nil && strings.TrimSpace(string(value)) == s.bad {
			return s.reason, s.mend
		}
	}
	return "", ""
}
