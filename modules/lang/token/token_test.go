package token_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/lang/token"
)

func TestIsName(t *testing.T) {
	for text, want := range map[string]bool{
		"a": true, "_": true, "A-b": true, "a--b_1": true, "LET": true,
		"": false, "-a": false, "a-": false, "1a": false, "a b": false, "a.b": false, "é": false, "a\n": false, "\ufeffa": false,
	} {
		require.Equal(t, want, token.IsName(text), "%q", text)
	}
}
