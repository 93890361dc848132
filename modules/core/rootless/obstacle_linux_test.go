package rootless

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestObstacle(t *testing.T) {
	for _, tt := range []struct{ name, value, reason, mend string }{
		{"kernel/apparmor_restrict_unprivileged_userns", "1", "AppArmor", "apparmor.d"},
		{"kernel/apparmor_restrict_unprivileged_userns", "0", "", ""},
		{"kernel/unprivileged_userns_clone", "0", "ordinary users", "unprivileged_userns_clone=1"},
		{"kernel/unprivileged_userns_clone", "1", "", ""},
		{"user/max_user_namespaces", "0", "no user namespace", "max_user_namespaces="},
		{"user/max_user_namespaces", "63000", "", ""},
	} {
		t.Run(tt.name+"="+tt.value, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, tt.name)
			require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
			require.NoError(t, os.WriteFile(path, []byte(tt.value+"\n"), 0o644))
			reason, mend := obstacle(dir)
			require.Equal(t, tt.reason == "", reason == "", reason)
			require.Contains(t, reason, tt.reason)
			require.Contains(t, mend, tt.mend)
		})
	}
}
