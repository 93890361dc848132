package scanner_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/lang/scanner"
	"github.com/containust/containust/modules/lang/token"
)

// scan returns the tokens in short: Kind:text, strings as their parts in
// quotes with interpolations in braces.
func scan(src string) (string, []diag.Code) {
	s := scanner.New("t.ctst", []byte(src))
	var out []string
	for t := s.Next(); t.Kind != token.EOF; t = s.Next() {
		switch t.Kind {
		case token.Ident, token.Number:
			out = append(out, t.Text)
		case token.Invalid:
			out = append(out, "?")
		case token.String:
			var b strings.Builder
			for _, p := range t.Parts {
				if p.Interpolation {
					b.WriteString("<" + p.Text + ">")
				} else {
					b.WriteString(p.Text)
				}
			}
			out = append(out, `"`+b.String()+`"`)
		default:
			out = append(out, t.Kind.String())
		}
	}
	var codes []diag.Code
	for _, d := range s.Diagnostics() {
		codes = append(codes, d.Code)
	}
	return strings.Join(out, " "), codes
}

func TestScan(t *testing.T) {
	for _, c := range []struct {
		name, src, want string
		codes           []diag.Code
	}{
		{name: "empty"},
		{name: "byte order mark", src: "\uFEFFa", want: "a"},
		{name: "statement", src: `COMPONENT a { b = 1 }`, want: "COMPONENT a { b = 1 }"},
		{name: "lower case is a name", src: `component let`, want: "component let"},
		{name: "arrow behind a name", src: "a->b", want: "a -> b"},
		{name: "dashes inside names", src: "a-b--c_-1", want: "a-b--c_-1"},
		{name: "dash at the end", src: "a- b", want: "a b", codes: []diag.Code{diag.NameEndsInDash}},
		{name: "long arrow", src: "a-->b", want: "a -> b", codes: []diag.Code{diag.UnexpectedToken}},
		{name: "stray dash", src: "- a", want: "a", codes: []diag.Code{diag.UnexpectedRune}},
		{name: "append", src: "a += 1", want: "a += 1"},
		{name: "comments", src: "a // b\n# c\nd /* e\n /* f */ g", want: "a d g"},
		{name: "comment at the end", src: "a //", want: "a"},
		{name: "comments do not nest", src: "a /* /* */ */ b", want: "a b", codes: []diag.Code{diag.UnexpectedRune}},
		{name: "unclosed comment", src: "a /* b", want: "a", codes: []diag.Code{diag.UnclosedComment}},
		{name: "numbers", src: "0 12 1_000 -1 +1 1.50 0.5", want: "0 12 1_000 -1 +1 1.50 0.5"},
		{name: "number then delimiter", src: "8443:8080/udp,1]1}1)1#x", want: "8443 : 8080 / udp , 1 ] 1 } 1 ) 1"},
		{name: "number then comment", src: "1/*x*/2", want: "1 2"},
		{name: "leading zero", src: "0644", want: "?", codes: []diag.Code{diag.BadNumber}},
		{name: "hex", src: "0x1F", want: "?", codes: []diag.Code{diag.BadNumber}},
		{name: "exponent", src: "1e9", want: "?", codes: []diag.Code{diag.BadNumber}},
		{name: "unit", src: "512m", want: "?", codes: []diag.Code{diag.BadNumber}},
		{name: "underscores", src: "1__0 1_ 0_1", want: "? ? ?", codes: []diag.Code{diag.BadNumber, diag.BadNumber, diag.BadNumber}},
		{name: "points", src: "5. .5 1.2.3", want: "? ? ?", codes: []diag.Code{diag.BadNumber, diag.BadNumber, diag.BadNumber}},
		{name: "number before a quote", src: `80"x"`, want: `80 "x"`, codes: []diag.Code{diag.BadNumber}},
		{name: "sign alone", src: "+a", want: "? a", codes: []diag.Code{diag.UnexpectedRune}},
		{name: "strings", src: `"" "a b"`, want: `"" "a b"`},
		{name: "escapes", src: `"\"\\\n\r\t\$\u{41}\u{1F600}"`, want: "\"\"\\\n\r\t$A😀\""},
		{name: "unknown escape", src: `"\d"`, want: `""`, codes: []diag.Code{diag.BadEscape}},
		{
			name: "code points", src: `"\u41 \u{} \u{1234567} \u{d800} \u{110000}"`, want: `"41 {} {1234567}  "`,
			codes: []diag.Code{diag.BadEscape, diag.BadEscape, diag.BadEscape, diag.BadEscape, diag.BadEscape},
		},
		{name: "nul", src: "\"a\x00b\" \"\\u{0}\"", want: `"ab" ""`, codes: []diag.Code{diag.NulCharacter, diag.NulCharacter}},
		{name: "open string", src: "\"abc\nd", want: "? d", codes: []diag.Code{diag.UnclosedString}},
		{name: "behind an open quote", src: "- \"a, \"-v\"]\n-", want: `"a, " v ?`, codes: []diag.Code{diag.UnexpectedRune, diag.UnclosedString, diag.UnexpectedRune}},
		{name: "interpolation", src: `"a${env.X:-b c}d"`, want: `"a<env.X:-b c>d"`},
		{name: "escapes in a default", src: `"${env.X:-\"\u{7d}\"}"`, want: `"<env.X:-"}">"`},
		{name: "dollars", src: `"$ $a $$ $${x} \${y} $$${z}"`, want: `"$ $a $$ ${x} ${y} $${z}"`},
		{name: "open interpolation", src: `"${a" b`, want: `"<>" b`, codes: []diag.Code{diag.BadInterpolation}},
		{name: "empty interpolation", src: `"${}"`, want: `"<>"`, codes: []diag.Code{diag.BadInterpolation}},
		{name: "nested interpolation", src: `"${env.X:-${env.Y}}"`, want: `"<>}"`, codes: []diag.Code{diag.BadInterpolation}},
		{name: "raw", src: `"""a\n"b"${env.X}$${c}"""`, want: `"a\n"b"<env.X>${c}"`},
		{name: "raw dedent", src: "\"\"\"\n\t  a\n\n\t    b\n\t  \"\"\"", want: "\"a\n\n  b\n\""},
		{name: "raw dedent without a closing line", src: "\"\"\"\n  a\n    b\"\"\"", want: "\"a\n  b\""},
		{name: "raw closing line is further left", src: "\"\"\"\n    a\n  \"\"\"", want: "\"  a\n\""},
		{name: "raw tabs and blanks have nothing in common", src: "\"\"\"\n\ta\n  b\n\"\"\"", want: "\"\ta\n  b\n\""},
		{name: "raw blank line with blanks", src: "\"\"\"\n  a\n     \n  b\"\"\"", want: "\"a\n   \nb\""},
		{name: "raw text on the first line", src: "\"\"\"a\n  b\"\"\"", want: "\"a\n  b\""},
		{name: "raw first line indented", src: "\"\"\"  a\n  b\"\"\"", want: "\"a\nb\""},
		{name: "raw windows lines", src: "\"\"\"\r\n  a\r\n  b\r\n  \"\"\"", want: "\"a\nb\n\""},
		{name: "raw interpolation at the start", src: "\"\"\"\n  ${env.A}\n  b\"\"\"", want: "\"<env.A>\nb\""},
		{name: "raw default over lines", src: "\"\"\"${env.A:-x\r\ny}\"\"\"", want: "\"<env.A:-x\ny>\""},
		{name: "raw open", src: `"""a`, want: "?", codes: []diag.Code{diag.UnclosedString}},
		{name: "raw open interpolation", src: `"""${a"""`, want: `"<>a"`, codes: []diag.Code{diag.BadInterpolation}},
		{name: "single quotes", src: `'a' b`, want: `"a" b`, codes: []diag.Code{diag.WrongQuotes}},
		{name: "backquotes", src: "`a`", want: `"a"`, codes: []diag.Code{diag.WrongQuotes}},
		{name: "single quote alone", src: `don't`, want: `don ? t`, codes: []diag.Code{diag.WrongQuotes}},
		{name: "curly quotes", src: `“a” „b“ “c"`, want: `"a" "b" "c"`, codes: []diag.Code{diag.LookAlike, diag.LookAlike, diag.LookAlike}},
		{name: "look-alike letter", src: "imаge", want: "image", codes: []diag.Code{diag.LookAlike}},
		{name: "look-alike keyword", src: "СOMPONENT", want: "COMPONENT", codes: []diag.Code{diag.LookAlike}},
		{name: "full width", src: "ａ＝1", want: "a = 1", codes: []diag.Code{diag.LookAlike, diag.LookAlike}},
		{name: "other letters", src: "größe", want: "?", codes: []diag.Code{diag.LookAlike}},
		{name: "no-break space", src: "a\u00a0b", want: "a b", codes: []diag.Code{diag.LookAlike}},
		{name: "arrow sign", src: "a → b => c", want: "a -> b -> c", codes: []diag.Code{diag.LookAlike, diag.UnexpectedToken}},
		{name: "semicolon", src: "a;", want: "a", codes: []diag.Code{diag.UnexpectedRune}},
		{name: "other signs", src: "a @@@ b", want: "a ? b", codes: []diag.Code{diag.UnexpectedRune}},
		{name: "invalid utf-8", src: "a \xff\xfe b", want: "a b", codes: []diag.Code{diag.InvalidUTF8}},
		{name: "invalid utf-8 in a comment", src: "// \xff\na", want: "a", codes: []diag.Code{diag.InvalidUTF8}},
		{name: "bidi control in a string", src: "\"a\u202eb\"", want: "\"a\u202eb\"", codes: []diag.Code{diag.BidiControl}},
		{name: "replacement character is text", src: "\"\ufffd\"", want: "\"\ufffd\""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, codes := scan(c.src)
			require.Equal(t, c.want, got, "tokens of %q", c.src)
			require.Equal(t, c.codes, codes, "codes of %q", c.src)
		})
	}
}

func TestPlaces(t *testing.T) {
	s := scanner.New("t.ctst", []byte("\uFEFF\"é\" a\r\n\t/* ü */ \"b${env.X}😀${env.Y}\"\n"))
	first := s.Next()
	require.Equal(t, token.Pos{Offset: 3, Line: 1, Column: 1}, first.Start)
	require.Equal(t, token.Pos{Offset: 7, Line: 1, Column: 4}, first.End)
	require.Equal(t, token.Pos{Offset: 8, Line: 1, Column: 5}, s.Next().Start)
	parts := s.Next().Parts
	require.Len(t, parts, 4)
	require.Equal(t, token.Pos{Offset: 23, Line: 2, Column: 12}, parts[1].Start)
	require.Equal(t, token.Pos{Offset: 31, Line: 2, Column: 20}, parts[1].End)
	require.Equal(t, token.Pos{Offset: 35, Line: 2, Column: 21}, parts[3].Start)
	require.Equal(t, token.EOF, s.Next().Kind)
	require.Equal(t, token.EOF, s.Next().Kind)
	require.Equal(t, []token.Comment{{Text: "/* ü */", Start: token.Pos{Offset: 12, Line: 2, Column: 2}, End: token.Pos{Offset: 20, Line: 2, Column: 9}}}, s.Comments())
}

func TestGivesUp(t *testing.T) {
	s := scanner.New("t.ctst", []byte(strings.Repeat("@ ", 10*scanner.MaxErrors)))
	for s.Next().Kind != token.EOF {
	}
	found := s.Diagnostics()
	require.Len(t, found, scanner.MaxErrors)
	require.Equal(t, diag.TooManyErrors, found[len(found)-1].Code)
	require.True(t, s.GaveUp())
}
