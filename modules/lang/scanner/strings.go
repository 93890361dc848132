package scanner

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/lang/token"
)

// quoted reads "…" or """…""".
func (s *Scanner) quoted() token.Token {
	if s.at(1) == '"' && s.at(2) == '"' {
		return s.raw()
	}
	return s.simple('"')
}

// closing maps the opening form of typographic quotes to what closes them.
var closing = map[rune]rune{
	'“': '”', '”': '”', '„': '“', '‟': '”', '«': '»', '»': '«', '‘': '’', '’': '’', '‚': '‘', '＂': '＂',
}

// maxQuoted is how far the end of text in wrong quotes is looked for.
const maxQuoted = 1 << 12

// wrongQuotes reads text in quotes of another kind as the string it is meant
// to be.
func (s *Scanner) wrongQuotes() token.Token {
	start := s.pos
	quote := s.rune()
	line := s.src[start.Offset:min(len(s.src), start.Offset+maxQuoted)]
	if end := strings.IndexByte(line, '\n'); end >= 0 {
		line = line[:end]
	}
	end := quote
	code, summary := diag.WrongQuotes, fmt.Sprintf("text in %c…%c", quote, quote)
	if closing[quote] != 0 {
		end = closing[quote]
		code, summary = diag.LookAlike, fmt.Sprintf("curly quotes %c…%c", quote, end)
		// Some editors close with the opening form or with plain quotes.
		if !strings.ContainsRune(line[utf8.RuneLen(quote):], end) {
			for _, other := range []rune{quote, '"', '”', '“'} {
				if strings.ContainsRune(line[utf8.RuneLen(quote):], other) {
					end = other
					break
				}
			}
		}
	}
	if !strings.ContainsRune(line[utf8.RuneLen(quote):], end) {
		s.step()
		s.broken[start.Line] = true
		s.report(diag.WrongQuotes, start, fmt.Sprintf("unexpected character %s", describe(quote)), "text needs double quotes", "")
		return token.Token{Kind: token.Invalid, Start: start, End: s.pos}
	}
	t := s.simple(end)
	s.report(code, start, summary, `write "…"`, "")
	return t
}

// simple reads a string that ends on its line, at the given quote.
func (s *Scanner) simple(quote rune) token.Token {
	t := token.Token{Kind: token.String, Start: s.pos}
	s.step()
	opened := s.pos
	var text strings.Builder
	textStart := s.pos
	flush := func() {
		if text.Len() > 0 {
			t.Parts = append(t.Parts, token.Part{Text: text.String(), Start: textStart, End: s.pos})
			text.Reset()
		}
	}
	for {
		if s.pos.Offset >= len(s.src) || s.src[s.pos.Offset] == '\n' {
			flush()
			s.broken[t.Start.Line] = true
			s.forgetBehindQuote(t.Start)
			s.reportRange(diag.UnclosedString, t.Start, opened, "a string that is not closed on its line", "",
				`Add the closing ". Text of several lines stands between """ and """.`)
			s.swallowed++
			t.Kind, t.Parts = token.Invalid, nil
			break
		}
		c := s.src[s.pos.Offset]
		if rune(c) == quote || c >= utf8.RuneSelf && s.rune() == quote {
			flush()
			s.step()
			break
		}
		switch {
		case c == '\\':
			s.escape(&text)
		case c == '$' && s.at(1) == '$' && s.at(2) == '{':
			text.WriteString("${")
			s.advance(3)
		case c == '$' && s.at(1) == '{':
			flush()
			t.Parts = s.interpolation(t.Parts, quote)
			textStart = s.pos
		default:
			s.char(&text)
		}
	}
	t.End = s.pos
	return t
}

// char takes one character of a string as it is.
func (s *Scanner) char(text *strings.Builder) {
	start := s.pos
	s.step()
	if s.src[start.Offset] == 0 {
		s.report(diag.NulCharacter, start, "a NUL in a string", "remove it", "")
		return
	}
	text.WriteString(s.src[start.Offset:s.pos.Offset])
}

// escape reads a backslash and what belongs to it.
func (s *Scanner) escape(text *strings.Builder) {
	start := s.pos
	switch c := s.at(1); c {
	case '"', '\\', '$':
		text.WriteByte(c)
		s.advance(2)
		return
	case 'n', 'r', 't':
		text.WriteByte(map[byte]byte{'n': '\n', 'r': '\r', 't': '\t'}[c])
		s.advance(2)
		return
	case 'u':
		s.unicodeEscape(text)
		return
	}
	s.advance(1)
	if s.pos.Offset < len(s.src) && s.src[s.pos.Offset] != '\n' && s.src[s.pos.Offset] != '\r' {
		s.step()
	}
	s.report(diag.BadEscape, start, fmt.Sprintf("%s is not an escape", s.src[start.Offset:s.pos.Offset]), `write \\ for a backslash`,
		`The escapes are \" \\ \n \r \t \$ and \u{…}. Nothing is escaped in """…""".`)
}

// forgetBehindQuote drops what was found between the quotes of a line that has
// an odd number of them: it may have been inside of a string.
func (s *Scanner) forgetBehindQuote(unclosed token.Pos) {
	line := s.src[strings.LastIndexByte(s.src[:unclosed.Offset], '\n')+1 : unclosed.Offset]
	quote := strings.IndexByte(line, '"')
	if quote < 0 {
		return
	}
	first := unclosed.Offset - len(line) + quote
	s.found = slices.DeleteFunc(s.found, func(d diag.Diagnostic) bool {
		at := d.Range.Start
		return at.Line == unclosed.Line && at.Offset > first && (d.Code == diag.UnexpectedRune || d.Code == diag.BadNumber || d.Code == diag.NameEndsInDash)
	})
}

func (s *Scanner) unicodeEscape(text *strings.Builder) {
	start := s.pos
	s.advance(2)
	digits := 0
	if s.at(0) == '{' {
		for digits < 7 && isHex(s.at(1+digits)) {
			digits++
		}
	}
	if digits < 1 || digits > 6 || s.at(1+digits) != '}' {
		s.report(diag.BadEscape, start, `\u without a code point`, `write \u{e9}: 1 to 6 hex digits in braces`, "")
		return
	}
	hex := s.src[s.pos.Offset+1 : s.pos.Offset+1+digits]
	s.advance(digits + 2)
	// At most six hex digits: the conversion cannot fail.
	code, _ := strconv.ParseUint(hex, 16, 32)
	switch {
	case code == 0:
		s.report(diag.NulCharacter, start, "a NUL in a string", "remove it", "")
	case !utf8.ValidRune(rune(code)):
		s.report(diag.BadEscape, start, fmt.Sprintf("U+%04X is not a character", code), "", "Characters go up to 10FFFF, without D800 to DFFF.")
	default:
		text.WriteRune(rune(code))
	}
}

func isHex(c byte) bool {
	return isDigit(c) || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

// interpolation reads ${…} of a simple string and appends it.
func (s *Scanner) interpolation(parts []token.Part, quote rune) []token.Part {
	start := s.pos
	s.advance(2)
	var text strings.Builder
	nested := false
	for {
		if s.pos.Offset >= len(s.src) || s.src[s.pos.Offset] == '\n' || s.rune() == quote {
			s.unclosedInterpolation(start)
			return append(parts, token.Part{Interpolation: true, Start: start, End: s.pos})
		}
		switch c := s.src[s.pos.Offset]; {
		case c == '}':
			s.advance(1)
			if nested {
				s.nestedInterpolation(start)
				return append(parts, token.Part{Interpolation: true, Start: start, End: s.pos})
			}
			if text.Len() == 0 {
				s.emptyInterpolation(start)
			}
			return append(parts, token.Part{Interpolation: true, Text: text.String(), Start: start, End: s.pos})
		case c == '\\':
			s.escape(&text)
		case c == '$' && s.at(1) == '{':
			nested = true
			s.char(&text)
		default:
			s.char(&text)
		}
	}
}

func (s *Scanner) unclosedInterpolation(start token.Pos) {
	s.swallowed++
	end := start
	end.Offset += 2
	end.Column += 2
	s.reportRange(diag.BadInterpolation, start, end, "a ${ that is never closed", "write $${ for the text ${", "A reference ends with }: ${env.HOME}.")
}

func (s *Scanner) emptyInterpolation(start token.Pos) {
	s.report(diag.BadInterpolation, start, "an empty ${}", "write $${} for the text ${}", "References are ${env.NAME}, ${param.name}, ${let.name}, ${secret.name}, ${self.name} and ${component.host}.")
}

func (s *Scanner) nestedInterpolation(start token.Pos) {
	s.report(diag.BadInterpolation, start, "a ${ inside of a ${…}", "references do not nest",
		"The text behind :- is plain. Put one of the two into a LET.")
}

// raw reads """…""": no escapes, and the indentation that all lines share is
// removed.
func (s *Scanner) raw() token.Token {
	t := token.Token{Kind: token.String, Raw: true, Start: s.pos}
	s.advance(3)
	opened := s.pos
	length := strings.Index(s.src[s.pos.Offset:], `"""`)
	if length < 0 {
		s.swallowed++
		s.reportRange(diag.UnclosedString, t.Start, opened, `a """ string that is never closed`, `add """ where it ends`, "")
		for s.pos.Offset < len(s.src) {
			s.step()
		}
		return token.Token{Kind: token.Invalid, Raw: true, Start: t.Start, End: s.pos}
	}
	end := s.pos.Offset + length
	if s.at(0) == '\r' && s.at(1) == '\n' {
		s.step()
	}
	if s.at(0) == '\n' {
		s.newline()
	}
	indent := commonIndent(s.src[s.pos.Offset:end])
	lineStart := true
	var text strings.Builder
	textStart := s.pos
	flush := func() {
		if text.Len() > 0 {
			t.Parts = append(t.Parts, token.Part{Text: text.String(), Start: textStart, End: s.pos})
			text.Reset()
		}
	}
	for s.pos.Offset < end {
		if lineStart {
			s.skipIndent(indent, end)
			lineStart = false
			continue
		}
		c := s.src[s.pos.Offset]
		switch {
		case c == '\n':
			text.WriteByte('\n')
			s.newline()
			lineStart = true
		case c == '\r' && s.at(1) == '\n':
			s.advance(1)
		case c == '$' && s.at(1) == '$' && s.at(2) == '{':
			text.WriteString("${")
			s.advance(3)
		case c == '$' && s.at(1) == '{':
			flush()
			t.Parts = append(t.Parts, s.rawInterpolation(end))
			textStart = s.pos
		default:
			s.char(&text)
		}
	}
	flush()
	s.advance(3)
	t.End = s.pos
	return t
}

func (s *Scanner) skipIndent(indent string, end int) {
	for i := 0; i < len(indent) && s.pos.Offset < end && s.src[s.pos.Offset] == indent[i]; i++ {
		s.advance(1)
	}
}

func (s *Scanner) rawInterpolation(end int) token.Part {
	start := s.pos
	length := strings.IndexByte(s.src[start.Offset:end], '}')
	if length < 0 {
		s.advance(2)
		s.unclosedInterpolation(start)
		return token.Part{Interpolation: true, Start: start, End: s.pos}
	}
	inside := s.src[start.Offset+2 : start.Offset+length]
	for s.pos.Offset <= start.Offset+length {
		s.step()
	}
	if inside == "" {
		s.emptyInterpolation(start)
	}
	if strings.Contains(inside, "${") {
		s.nestedInterpolation(start)
		inside = ""
	}
	if strings.IndexByte(inside, 0) >= 0 {
		s.report(diag.NulCharacter, start, "a NUL in a string", "remove it", "")
		inside = ""
	}
	return token.Part{Interpolation: true, Text: strings.ReplaceAll(inside, "\r\n", "\n"), Start: start, End: s.pos}
}

// commonIndent returns the longest run of blanks that starts all lines of a
// raw string that are not blank, and its last line if that holds nothing but
// the closing quotes.
func commonIndent(body string) string {
	if !strings.Contains(body, "\n") {
		return leadingBlanks(body)
	}
	indent, seen := "", false
	for more := true; more; {
		var line string
		line, body, more = strings.Cut(body, "\n")
		blanks := leadingBlanks(line)
		if more && strings.TrimSuffix(line[len(blanks):], "\r") == "" {
			continue
		}
		if !seen {
			indent, seen = blanks, true
		}
		n := 0
		for n < len(indent) && n < len(blanks) && indent[n] == blanks[n] {
			n++
		}
		indent = indent[:n]
	}
	return indent
}

// leadingBlanks returns the blanks that a line starts with; all of them are
// text when the line is nothing else.
func leadingBlanks(line string) string {
	return line[:len(line)-len(strings.TrimLeft(line, " \t"))]
}
