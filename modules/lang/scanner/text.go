package scanner

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/lang/token"
)

// checkText reports what may stand nowhere in a file, also not in strings and
// comments: bytes that are no UTF-8, and bidirectional controls.
func (s *Scanner) checkText() {
	if !s.suspicious() {
		return
	}
	start := s.pos
	defer func() { s.pos = start }()
	for s.pos.Offset < len(s.src) {
		at := s.pos
		r, size := utf8.DecodeRuneInString(s.src[at.Offset:])
		switch {
		case r == utf8.RuneError && size == 1:
			for r == utf8.RuneError && size == 1 {
				s.step()
				r, size = utf8.DecodeRuneInString(s.src[s.pos.Offset:])
			}
			s.broken[at.Line] = true
			s.report(diag.InvalidUTF8, at, "bytes that are not UTF-8", "", "Save the file as UTF-8.")
		case isBidi(r):
			s.step()
			s.report(diag.BidiControl, at, fmt.Sprintf("U+%04X is a bidirectional control", r), "remove it",
				fmt.Sprintf(`It can make text look like other text. In a string it can be written as "\u{%x}".`, r))
		default:
			s.step()
		}
	}
}

// suspicious is the quick answer for nearly all files.
func (s *Scanner) suspicious() bool {
	for _, r := range s.src[s.pos.Offset:] {
		if r == utf8.RuneError || isBidi(r) {
			return true
		}
	}
	return false
}

func isBidi(r rune) bool {
	return r >= 0x061c && (r == 0x061c || r == 0x200e || r == 0x200f || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069)
}

// foreign handles a character that starts no token.
func (s *Scanner) foreign() (token.Token, bool) {
	start := s.pos
	r, size := utf8.DecodeRuneInString(s.src[start.Offset:])
	switch {
	case r == utf8.RuneError && size == 1, isBidi(r):
		s.step() // checkText has reported it
		return token.Token{}, false
	case r == '\'' || r == '`' || closing[r] != 0:
		return s.wrongQuotes(), true
	case unicode.IsSpace(r) || r == 0x200b || r == 0xfeff || r == 0x2060 || r == 0x00ad:
		s.step()
		s.report(diag.LookAlike, start, fmt.Sprintf("U+%04X is not an ordinary blank", r), "use a blank", "")
		return token.Token{}, false
	case r == '*' && s.at(1) == '/':
		s.advance(2)
		s.report(diag.UnexpectedRune, start, `unexpected "*/"`, "no comment is open here", "Comments do not nest: the first */ ends one.")
		return token.Token{}, false
	case r == ';':
		s.step()
		s.report(diag.UnexpectedRune, start, `unexpected ";"`, "remove it: nothing ends with a semicolon", "")
		return token.Token{}, false
	case r == '→' || r == '⇒' || r == '⟶':
		s.step()
		s.report(diag.LookAlike, start, fmt.Sprintf(`"%c" is not an arrow of the language`, r), `write "->"`, "")
		return token.Token{Kind: token.Arrow, Start: start, End: s.pos}, true
	}
	if kind, ok := lookAlikeSymbols[r]; ok {
		s.step()
		s.report(diag.LookAlike, start, fmt.Sprintf(`"%c" (U+%04X) only looks like "%s"`, r, r, kind), fmt.Sprintf(`write "%s"`, kind), "")
		return token.Token{Kind: kind, Start: start, End: s.pos}, true
	}
	// One error for a run of the same nonsense.
	for s.pos.Offset < len(s.src) && s.rune() == r {
		s.step()
	}
	s.broken[start.Line] = true
	s.report(diag.UnexpectedRune, start, fmt.Sprintf("unexpected character %s", describe(r)), "", foreignDetail(r))
	return token.Token{Kind: token.Invalid, Start: start, End: s.pos}, true
}

func foreignDetail(r rune) string {
	switch r {
	case '$':
		return `References stand in strings: "${env.NAME}".`
	case '<', '>', '|', '&', '*', '%', '!', '?', '@', '~', '^', '\\', '+':
		return "Text needs double quotes. The language has no operators."
	}
	return "Text needs double quotes."
}

// describe names a character for people: itself where it can be seen.
func describe(r rune) string {
	if r > ' ' && r < 0x7f {
		return fmt.Sprintf(`"%c"`, r)
	}
	if unicode.IsGraphic(r) {
		return fmt.Sprintf(`"%c" (U+%04X)`, r, r)
	}
	return fmt.Sprintf("U+%04X", r)
}

// lookAlikeSymbols are typographic and full-width forms of punctuation.
var lookAlikeSymbols = map[rune]token.Kind{
	'＝': token.Assign, '，': token.Comma, '、': token.Comma, '：': token.Colon, '｛': token.LeftBrace, '｝': token.RightBrace,
	'［': token.LeftBracket, '］': token.RightBracket, '（': token.LeftParen, '）': token.RightParen, '．': token.Dot, '／': token.Slash,
}

// lookAlikes are letters of other alphabets that look like ASCII letters:
// Cyrillic, Greek, full-width.
var lookAlikes = func() map[rune]byte {
	m := map[rune]byte{}
	add := func(pairs string) {
		runes := []rune(pairs)
		for i := 0; i+1 < len(runes); i += 2 {
			m[runes[i]] = byte(runes[i+1])
		}
	}
	add("аaеeоoрpсcуyхxіiјjѕsһhԁdԛqԝwӏlкkтtвBмMнHгr")
	add("АAВBЕEКKМMНHОOРPСCТTУYХXІIЈJЅSԜW")
	add("αaιiκkνvοoρpυuχxΑAΒBΕEΖZΗHΙIΚKΜMΝNΟOΡPΤTΥYΧX")
	for c := byte('0'); c <= 'z'; c++ {
		if isLetter(c) && c != '_' || isDigit(c) {
			m[0xff00+rune(c)-0x20] = c
		}
	}
	return m
}()

// word reads a name or a keyword. Letters that are not ASCII are reported, and
// read as the ones that they look like.
func (s *Scanner) word() token.Token {
	start := s.pos
	i, src := start.Offset, s.src
	for {
		for i < len(src) && isWord(src[i]) {
			i++
		}
		j := i
		for j < len(src) && src[j] == '-' {
			j++
		}
		if j == i || j == len(src) || !isWord(src[j]) {
			break
		}
		i = j
	}
	s.advance(i - start.Offset)
	if i < len(src) && src[i] >= utf8.RuneSelf && isForeignLetter(s.rune()) {
		return s.foreignWord(start)
	}
	text := src[start.Offset:i]
	t := token.Token{Kind: token.Lookup(text), Text: text, Start: start, End: s.pos}
	s.trailingDashes(text)
	return t
}

// trailingDashes reports and skips dashes right behind a name, unless they
// belong to an arrow.
func (s *Scanner) trailingDashes(name string) {
	n := 0
	for s.at(n) == '-' {
		n++
	}
	if n == 0 || s.at(n) == '>' {
		return
	}
	start := s.pos
	s.advance(n)
	s.report(diag.NameEndsInDash, start, fmt.Sprintf("the name %q ends in a dash", name+"-"), fmt.Sprintf("write %q", name), "")
}

func isForeignLetter(r rune) bool {
	return r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.Is(unicode.Mn, r))
}

// foreignWord goes on with a word at its first letter that is not ASCII.
func (s *Scanner) foreignWord(start token.Pos) token.Token {
	text := []byte(s.src[start.Offset:s.pos.Offset])
	first, firstAt, mended := rune(0), s.pos, true
	for s.pos.Offset < len(s.src) {
		c := s.src[s.pos.Offset]
		if isWord(c) || c == '-' && isWord(s.at(1)) {
			text = append(text, c)
			s.advance(1)
			continue
		}
		r := s.rune()
		if r < utf8.RuneSelf || !isForeignLetter(r) {
			break
		}
		if first == 0 {
			first, firstAt = r, s.pos
		}
		ascii, ok := lookAlikes[r]
		mended = mended && ok
		text = append(text, ascii)
		s.step()
	}
	after := firstAt
	after.Offset += utf8.RuneLen(first)
	after.Column++
	if !mended {
		s.broken[start.Line] = true
		s.reportRange(diag.LookAlike, firstAt, after, fmt.Sprintf("%s cannot stand in a name", describe(first)), "",
			"Names have the letters a to z, digits, _ and, inside, -. Other text needs double quotes.")
		return token.Token{Kind: token.Invalid, Start: start, End: s.pos}
	}
	s.reportRange(diag.LookAlike, firstAt, after,
		fmt.Sprintf("%s only looks like %q", describe(first), string(lookAlikes[first])), fmt.Sprintf("write %q", string(text)), "")
	return token.Token{Kind: token.Lookup(string(text)), Text: string(text), Start: start, End: s.pos}
}

// number reads a number, or reports the whole word that starts like one.
func (s *Scanner) number() token.Token {
	start := s.pos
	i, src := start.Offset, s.src
	if src[i] == '+' || src[i] == '-' {
		i++
	}
	digits := i
	for i < len(src) && (isDigit(src[i]) || src[i] == '_') {
		i++
	}
	ok := digits < i && (src[digits] != '0' || i == digits+1) && src[i-1] != '_'
	for j := digits + 1; j < i; j++ {
		ok = ok && (src[j] != '_' || src[j-1] != '_')
	}
	if i+1 < len(src) && src[i] == '.' && isDigit(src[i+1]) {
		i++
		for i < len(src) && isDigit(src[i]) {
			i++
		}
	}
	if ok && endsNumber(src, i) {
		s.advance(i - start.Offset)
		return token.Token{Kind: token.Number, Text: src[start.Offset:i], Start: start, End: s.pos}
	}
	for s.pos.Offset < len(src) {
		c := src[s.pos.Offset]
		if c < utf8.RuneSelf && !isWord(c) && c != '.' && c != '-' && c != '+' && c != '%' {
			break
		}
		if c >= utf8.RuneSelf && !isForeignLetter(s.rune()) {
			break
		}
		s.step()
	}
	text := src[start.Offset:s.pos.Offset]
	if ok && s.pos.Offset == i {
		s.report(diag.BadNumber, start, fmt.Sprintf("the number %s ends in the middle of a text", text), "put a blank or a comma behind it", "")
		return token.Token{Kind: token.Number, Text: text, Start: start, End: s.pos}
	}
	suggestion := fmt.Sprintf("write \"%s\" if it is text", text)
	if strings.Count(text, ".") == 3 {
		suggestion = "put quotes around all of it"
	}
	s.report(diag.BadNumber, start, fmt.Sprintf("%s is not a number", text), suggestion, numberDetail(text))
	return token.Token{Kind: token.Invalid, Text: text, Start: start, End: s.pos}
}

// endsNumber tells whether a number may end before src[i]: a blank, a
// delimiter, a comment or the end.
func endsNumber(src string, i int) bool {
	if i == len(src) {
		return true
	}
	switch src[i] {
	case ' ', '\t', '\r', '\n', '{', '}', '[', ']', '(', ')', '=', ',', ':', '/', '#', ';':
		return true
	case '-': // CONNECT and EXPOSE have no number before an arrow, but the arrow is no part of it
		return i+1 < len(src) && src[i+1] == '>'
	}
	return src[i] >= utf8.RuneSelf && !isForeignLetter(func() rune { r, _ := utf8.DecodeRuneInString(src[i:]); return r }())
}

func numberDetail(text string) string {
	digits := text
	if digits[0] == '+' || digits[0] == '-' {
		digits = digits[1:]
	}
	switch {
	case digits == "":
		return ""
	case strings.Count(text, ".") == 3:
		return `An address with its ports is EXPOSE "127.0.0.1:8080:80" TO name.`
	case digits[0] == '.':
		return "Numbers have a digit before the point: 0" + digits + "."
	case len(digits) > 1 && digits[0] == '0' && isWord(digits[1]):
		return "Numbers have no leading zero, no hex and no octal form."
	case strings.ContainsAny(strings.ToLower(digits[len(digits)-1:]), "kmgb"):
		return `A size is written as "512MiB", a time as "10m".`
	default:
		return "Numbers are decimal, without unit and exponent. A name begins with a letter or _."
	}
}
