package sdk_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/sdk"
)

// Every code that the package's text defines has a meaning, and is not one of
// the language's.
func TestEveryCodeHasAMeaning(t *testing.T) {
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	defined := map[diag.Code]bool{}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		require.NoError(t, err)
		for _, d := range file.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.CONST {
				continue
			}
			for _, s := range g.Specs {
				for _, v := range s.(*ast.ValueSpec).Values {
					if lit, ok := v.(*ast.BasicLit); ok && strings.HasPrefix(lit.Value, `"CT`) {
						code, err := strconv.Unquote(lit.Value)
						require.NoError(t, err)
						defined[diag.Code(code)] = true
					}
				}
			}
		}
	}
	require.Contains(t, defined, sdk.NotInThisVersion)
	for code := range defined {
		require.NotEmpty(t, sdk.Meanings()[code], "%s has no meaning", code)
		require.NotContains(t, diag.Meanings(), code)
	}
	require.Len(t, sdk.Meanings(), len(defined))
}
