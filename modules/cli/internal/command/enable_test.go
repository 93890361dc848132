package command

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/sdk"
	"github.com/containust/containust/modules/sdk/state"
)

func TestUnit(t *testing.T) {
	for name, tt := range map[string]struct {
		file   string
		system bool
	}{
		"unit-system": {"/srv/shop/shop.ctst", true},
		"unit-user":   {"/home/me/my \"stack\" 100%/a$b.ctst", false},
	} {
		t.Run(name, func(t *testing.T) {
			p := sdk.Project{
				Project: state.Project{Name: strings.TrimSuffix(filepath.Base(tt.file), ".ctst"), ID: "shop-1234", File: tt.file},
				Dir:     filepath.Dir(tt.file), StateDir: filepath.Dir(tt.file) + "/.containust",
			}
			got := unitText(p, []string{"/bin/sh", "--file", p.File, "--state-dir", p.StateDir}, tt.system)
			path := filepath.Join("testdata", name+".txt")
			if *update {
				require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
			}
			want, err := os.ReadFile(path)
			require.NoError(t, err)
			require.Equal(t, string(want), got)

			analyze, err := exec.LookPath("systemd-analyze")
			if err != nil {
				t.Skip("the text is right; systemd-analyze, which would know, is not installed")
			}
			unit := filepath.Join(t.TempDir(), "containust-shop-1234.service")
			require.NoError(t, os.WriteFile(unit, []byte(got), 0o644))
			said, err := exec.Command(analyze, "verify", "--man=no", unit).CombinedOutput()
			for line := range strings.SplitSeq(string(said), "\n") {
				require.NotContains(t, line, "containust-shop", "%v", err)
			}
		})
	}
}

func TestUnitLinesStayOne(t *testing.T) {
	require.Equal(t, `"a\x0aExecStart=/bin/evil"`, unitWord("a\nExecStart=/bin/evil"))
	require.NotContains(t, unitPath("a\nExecStart=/bin/evil"), "\n")
}
