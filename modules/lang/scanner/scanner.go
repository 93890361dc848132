// Package scanner splits the text of a .ctst file into tokens.
//
//	s := scanner.New("app.ctst", text)
//	for t := s.Next(); t.Kind != token.EOF; t = s.Next() {
//		…
//	}
//	comments, found := s.Comments(), s.Diagnostics()
//
// It takes linear time, never panics, and mends what it can after saying so:
// text in the wrong quotes is a string, a look-alike letter is the one it
// looks like. It runs on every platform and needs no privileges. A Scanner
// belongs to one goroutine.
package scanner

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/lang/token"
)

// MaxErrors is how many errors of one file are kept. The scanner then gives
// the file up.
const MaxErrors = 1000

// Scanner reads one file.
type Scanner struct {
	file     string
	src      string
	pos      token.Pos // of the next character
	comments []token.Comment
	found    diag.List
	broken   map[int]bool

	swallowed int
	openEnded bool // Ahead found that no */ follows
}

const byteOrderMark = "\uFEFF"

// New returns a scanner of src, which diagnostics call by the given name.
func New(file string, src []byte) *Scanner {
	s := &Scanner{file: file, src: string(src), pos: token.Pos{Line: 1, Column: 1}, broken: map[int]bool{}}
	if len(s.src) >= len(byteOrderMark) && s.src[:len(byteOrderMark)] == byteOrderMark {
		s.pos.Offset = len(byteOrderMark)
	}
	s.checkText()
	return s
}

// Comments returns the comments up to the last token.
func (s *Scanner) Comments() []token.Comment { return s.comments }

// Diagnostics returns what was found up to the last token.
func (s *Scanner) Diagnostics() diag.List { return s.found }

// Broken tells whether the tokens of a line cannot be trusted, because of an
// error that the scanner could not mend. What else is wrong with the line only
// follows from that.
func (s *Scanner) Broken(line int) bool { return s.broken[line] }

// Next returns the next token; at the end of the file always an EOF.
func (s *Scanner) Next() token.Token {
	for {
		s.skipBlanks()
		if s.pos.Offset >= len(s.src) || len(s.found) >= MaxErrors {
			return token.Token{Kind: token.EOF, Start: s.pos, End: s.pos}
		}
		if t, ok := s.scan(); ok {
			return t
		}
	}
}

// scan reads one token at a character that is no blank. It returns false after
// characters that it has reported and that stand for nothing.
func (s *Scanner) scan() (token.Token, bool) {
	c := s.src[s.pos.Offset]
	switch {
	case isLetter(c) || c >= utf8.RuneSelf && unicode.IsLetter(s.rune()):
		return s.word(), true
	case isDigit(c), (c == '-' || c == '+' || c == '.') && isDigit(s.at(1)):
		return s.number(), true
	case c == '"':
		return s.quoted(), true
	}
	switch c {
	case '{':
		return s.symbol(token.LeftBrace, 1), true
	case '}':
		return s.symbol(token.RightBrace, 1), true
	case '[':
		return s.symbol(token.LeftBracket, 1), true
	case ']':
		return s.symbol(token.RightBracket, 1), true
	case '(':
		return s.symbol(token.LeftParen, 1), true
	case ')':
		return s.symbol(token.RightParen, 1), true
	case '=':
		if s.at(1) == '>' {
			t := s.symbol(token.Arrow, 2)
			s.report(diag.UnexpectedToken, t.Start, `"=>" is not an arrow of the language`, `write "->"`, "")
			return t, true
		}
		return s.symbol(token.Assign, 1), true
	case ',':
		return s.symbol(token.Comma, 1), true
	case ':':
		return s.symbol(token.Colon, 1), true
	case '/':
		return s.symbol(token.Slash, 1), true
	case '.':
		return s.symbol(token.Dot, 1), true
	case '+':
		if s.at(1) == '=' {
			return s.symbol(token.PlusAssign, 2), true
		}
	case '-':
		if t, ok := s.dashes(); ok {
			return t, true
		}
		return token.Token{}, false
	}
	return s.foreign()
}

// dashes reads an arrow, also one with too many dashes.
func (s *Scanner) dashes() (token.Token, bool) {
	n := 1
	for s.at(n) == '-' {
		n++
	}
	start := s.pos
	if s.at(n) != '>' {
		s.advance(n)
		s.broken[start.Line] = true
		s.report(diag.UnexpectedRune, start, "a dash that belongs to nothing", "", `An arrow is "->", a list is ["a", "b"]; a dash in a name has letters or digits on both sides.`)
		return token.Token{}, false
	}
	t := s.symbol(token.Arrow, n+1)
	if n > 1 {
		s.report(diag.UnexpectedToken, start, "an arrow with too many dashes", `write "->"`, "")
	}
	return t, true
}

// symbol takes n bytes of ASCII as one token.
func (s *Scanner) symbol(kind token.Kind, n int) token.Token {
	t := token.Token{Kind: kind, Start: s.pos}
	s.advance(n)
	t.End = s.pos
	return t
}

// skipBlanks skips blanks, newlines and comments.
func (s *Scanner) skipBlanks() {
	for s.pos.Offset < len(s.src) {
		switch c := s.src[s.pos.Offset]; {
		case c == ' ' || c == '\t' || c == '\r':
			s.pos.Offset++
			s.pos.Column++
		case c == '\n':
			s.newline()
		case c == '#', c == '/' && s.at(1) == '/':
			s.lineComment()
		case c == '/' && s.at(1) == '*':
			s.blockComment()
		default:
			return
		}
	}
}

func (s *Scanner) lineComment() {
	start := s.pos
	for s.pos.Offset < len(s.src) && s.src[s.pos.Offset] != '\n' {
		s.step()
	}
	end := s.pos
	if s.src[end.Offset-1] == '\r' {
		end.Offset--
		end.Column--
	}
	s.comments = append(s.comments, token.Comment{Text: s.src[start.Offset:end.Offset], Start: start, End: end})
}

func (s *Scanner) blockComment() {
	start := s.pos
	s.advance(2)
	for s.pos.Offset < len(s.src) {
		if s.src[s.pos.Offset] == '*' && s.at(1) == '/' {
			s.advance(2)
			s.comments = append(s.comments, token.Comment{Text: s.src[start.Offset:s.pos.Offset], Start: start, End: s.pos})
			return
		}
		s.step()
	}
	opening := start
	opening.Offset += 2
	opening.Column += 2
	s.reportRange(diag.UnclosedComment, start, opening, "a comment that is never closed", "add */ where it ends", "")
	s.comments = append(s.comments, token.Comment{Text: s.src[start.Offset:], Start: start, End: s.pos})
}

// at returns the byte n after the next one, or 0 beyond the end.
func (s *Scanner) at(n int) byte {
	if s.pos.Offset+n < len(s.src) {
		return s.src[s.pos.Offset+n]
	}
	return 0
}

func (s *Scanner) rune() rune {
	r, _ := utf8.DecodeRuneInString(s.src[s.pos.Offset:])
	return r
}

// step takes one character, newlines included.
func (s *Scanner) step() {
	c := s.src[s.pos.Offset]
	switch {
	case c == '\n':
		s.newline()
		return
	case c < utf8.RuneSelf:
		s.pos.Offset++
	default:
		_, size := utf8.DecodeRuneInString(s.src[s.pos.Offset:])
		s.pos.Offset += size
	}
	s.pos.Column++
}

// advance takes n bytes of ASCII without a newline.
func (s *Scanner) advance(n int) {
	s.pos.Offset += n
	s.pos.Column += n
}

func (s *Scanner) newline() {
	s.pos.Offset++
	s.pos.Line++
	s.pos.Column = 1
}

// report adds an error about the text from start up to the next character.
func (s *Scanner) report(code diag.Code, start token.Pos, summary, suggestion, detail string) {
	s.reportRange(code, start, s.pos, summary, suggestion, detail)
}

func (s *Scanner) reportRange(code diag.Code, start, end token.Pos, summary, suggestion, detail string) {
	if len(s.found) == MaxErrors-1 {
		code, suggestion, detail = diag.TooManyErrors, "", ""
		summary = "too many errors; the rest of the file was not read"
	}
	if len(s.found) >= MaxErrors {
		return
	}
	s.found = append(s.found, diag.Diagnostic{
		Code: code, Summary: summary, Suggestion: suggestion, Detail: detail,
		Range: token.Range{File: s.file, Start: start, End: end},
	})
}

func isLetter(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isWord(c byte) bool { return isLetter(c) || isDigit(c) }

// Ahead returns the text from the next token on, without taking anything.
func (s *Scanner) Ahead() string {
	rest := s.src[s.pos.Offset:]
	for rest != "" {
		switch {
		case rest[0] == ' ' || rest[0] == '\t' || rest[0] == '\r' || rest[0] == '\n':
			rest = rest[1:]
			continue
		case rest[0] == '#' || strings.HasPrefix(rest, "//"):
			if end := strings.IndexByte(rest, '\n'); end >= 0 {
				rest = rest[end:]
				continue
			}
		case strings.HasPrefix(rest, "/*"):
			if s.openEnded {
				return ""
			}
			end := strings.Index(rest[2:], "*/")
			if end >= 0 {
				rest = rest[end+4:]
				continue
			}
			s.openEnded = true
		default:
			return rest
		}
		return ""
	}
	return rest
}

// Word goes on to the end of the word without quotes that a token has just
// started, such as tar://x.tar, and returns the whole word.
func (s *Scanner) Word(start token.Pos) (text string, end token.Pos) {
	for s.pos.Offset < len(s.src) && !strings.ContainsRune(" \t\r\n,]})\"'`#", rune(s.src[s.pos.Offset])) {
		s.step()
	}
	return s.src[start.Offset:s.pos.Offset], s.pos
}

// Swallowed returns how many strings were found without their end, each of
// which may have hidden brackets.
func (s *Scanner) Swallowed() int { return s.swallowed }

// GaveUp tells whether the file had too many errors to be read to its end.
func (s *Scanner) GaveUp() bool { return len(s.found) >= MaxErrors }
