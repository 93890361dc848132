package sandbox_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestInit(t *testing.T) {
	s := spec(t, image(t), "probe", "one")
	s.Init = true
	r := observe(t, s)
	t.Logf("%+v", r)
	require.Equal(t, 2, r.PID)
}
