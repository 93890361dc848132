package token

// Kind is the kind of a token.
type Kind uint8

// The kinds of tokens. Comments are not tokens: the scanner keeps them apart.
const (
	EOF     Kind = iota
	Invalid      // text that is no token; the scanner has said why
	Ident
	Number
	String // "…" or """…"""

	LeftBrace
	RightBrace
	LeftBracket
	RightBracket
	LeftParen
	RightParen
	Assign     // =
	PlusAssign // +=
	Comma
	Colon
	Slash
	Dot
	Arrow // ->

	IMPORT
	LET
	COMPONENT
	CONNECT
	EXPOSE
	FROM
	AS
	TO
	NOWAIT
	UNSET
)

var kindNames = [...]string{
	EOF: "the end of the file", Invalid: "invalid text", Ident: "a name", Number: "a number", String: "a string",
	LeftBrace: "{", RightBrace: "}", LeftBracket: "[", RightBracket: "]", LeftParen: "(", RightParen: ")",
	Assign: "=", PlusAssign: "+=", Comma: ",", Colon: ":", Slash: "/", Dot: ".", Arrow: "->",
	IMPORT: "IMPORT", LET: "LET", COMPONENT: "COMPONENT", CONNECT: "CONNECT", EXPOSE: "EXPOSE",
	FROM: "FROM", AS: "AS", TO: "TO", NOWAIT: "NOWAIT", UNSET: "UNSET",
}

// String returns what a person calls the kind: "{", "COMPONENT", "a name".
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "an unknown token"
}

// Keyword tells whether the kind is a keyword.
func (k Kind) Keyword() bool { return k >= IMPORT && k <= UNSET }

// Statement tells whether the kind is a keyword that starts a statement.
func (k Kind) Statement() bool { return k >= IMPORT && k <= EXPOSE }

// Keywords returns all keywords in the order of their kinds.
func Keywords() []string { return append([]string(nil), kindNames[IMPORT:UNSET+1]...) }

// Lookup returns the kind of a word: its keyword's, or Ident.
func Lookup(word string) Kind {
	if len(word) < 2 || len(word) > 9 || word[0] < 'A' || word[0] > 'Z' {
		return Ident
	}
	for k := IMPORT; k <= UNSET; k++ {
		if kindNames[k] == word {
			return k
		}
	}
	return Ident
}

// IsName tells whether s has the form of a name, which a keyword has too.
func IsName(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
		if !letter && (i == 0 || !(c >= '0' && c <= '9') && c != '-') {
			return false
		}
	}
	return s != "" && s[len(s)-1] != '-'
}

// Token is one token with its place.
type Token struct {
	Kind       Kind
	Raw        bool // of a String: """…"""
	Start, End Pos

	// Text is what the token says: a name, a number as it is written.
	// Empty for strings and punctuation.
	Text string

	// Parts are the pieces of a String, in order. Empty for "".
	Parts []Part
}

// Part is a piece of a string: text with its escapes replaced, or the inside
// of one ${…}. An empty inside has been reported by the scanner.
type Part struct {
	Interpolation bool
	Text          string
	Start, End    Pos // of an interpolation: with its ${ and }
}

// Comment is a comment with its delimiters.
type Comment struct {
	Text       string
	Start, End Pos
}
