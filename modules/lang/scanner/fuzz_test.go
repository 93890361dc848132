package scanner_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/lang/scanner"
	"github.com/containust/containust/modules/lang/token"
)

// FuzzScan: any text comes to its end without a panic; tokens and comments
// follow each other without overlap, and their parts lie inside.
func FuzzScan(f *testing.F) {
	for _, seed := range []string{
		"", "\uFEFFa-b->c--d", "1_000 -1.5 +3 01 1e3 0x1 1..2", `"a\n\u{1F600}$${x}${env.A:-b}\q"`, "\"\"\"\r\n\t a\n\t  b\n\t \"\"\"", "'a' “b” `c`", "# c\n// d\n/* e */ /*",
		"“\"”", "\xff\u202e\u00a0；＝", "\"${\"", "\"\"\"${", "\"${a${b}}\"", "аbc-ı",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, src string) {
		s := scanner.New("f.ctst", []byte(src))
		last := 0
		for range len(src) + 2 {
			tok := s.Next()
			require.LessOrEqual(t, last, tok.Start.Offset)
			require.LessOrEqual(t, tok.Start.Offset, tok.End.Offset)
			require.LessOrEqual(t, tok.End.Offset, len(src))
			last = tok.End.Offset
			at := tok.Start.Offset
			for _, p := range tok.Parts {
				require.LessOrEqual(t, at, p.Start.Offset)
				require.LessOrEqual(t, p.Start.Offset, p.End.Offset)
				at = p.End.Offset
			}
			if len(tok.Parts) > 0 {
				require.LessOrEqual(t, at, tok.End.Offset)
			}
			if tok.Kind == token.EOF {
				return
			}
		}
		t.Fatal("the scanner does not come to its end")
	})
}
