package cgroup

import (
	"io/fs"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFolder(t *testing.T) {
	for name, test := range map[string]struct{ root, text, want string }{
		"v2 alone":       {"/", "0::/user.slice/a.scope\n", "/mnt/user.slice/a.scope"},
		"hybrid":         {"/", "4:memory:/x\n1:name=systemd:/y\n0::/z\n", "/mnt/z"},
		"at the root":    {"/", "0::/\n", "/mnt"},
		"a part":         {"/a", "0::/a/b\n", "/mnt/b"},
		"beside a part":  {"/a", "0::/ab\n", ""},
		"outside":        {"/", "0::/../x\n", ""},
		"version 1 only": {"/", "4:memory:/x\n", ""},
		"empty":          {"/", "", ""},
		"with a colon":   {"/", "0::/a:b\n", "/mnt/a:b"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, err := (&Hierarchy{Mount: "/mnt", root: test.root}).folder([]byte(test.text))
			if test.want == "" {
				require.ErrorIs(t, err, fs.ErrNotExist)
				return
			}
			require.NoError(t, err)
			require.Equal(t, test.want, dir)
		})
	}
}
