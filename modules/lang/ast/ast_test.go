package ast_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/lang/ast"
	"github.com/containust/containust/modules/lang/parser"
)

// A default that is a reference may be anything, as the one of a parameter
// without a default.
func TestParamKind(t *testing.T) {
	file, found := parser.Parse("a.ctst", []byte(`COMPONENT t(a, b: int = "${env.B}", c = "x", d = "${env.D}", e = 1, f = 1.5, g = true, h = [], i = {}) {}`))
	require.Empty(t, found)
	var kinds []string
	for _, p := range file.Statements[0].(*ast.Component).Params.List {
		kinds = append(kinds, p.Kind())
	}
	require.Equal(t, []string{"", "int", "string", "", "int", "number", "bool", "list", "map"}, kinds)
}
