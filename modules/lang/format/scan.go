package format

import (
	"strings"

	"github.com/containust/containust/modules/lang/scanner"
	"github.com/containust/containust/modules/lang/token"
)

// word is a token with the comments before it.
type word struct {
	kind       token.Kind
	start, end token.Pos
	lines      int // from the end of what stands before it to its start
	notes      []note

	fixed  bool // a raw string whose lines may not move
	spread bool // of an opening bracket: one entry a line
	body   bool // of an opening brace: a component's
}

// note is a comment.
type note struct {
	text   string
	column int  // of its start, from 0
	lines  int  // from the end of what stands before it to its start
	ends   bool // it ends its line: nothing may follow, or it has several
}

// scan splits a file without syntax errors into words. The last is EOF.
func scan(name string, src []byte) []word {
	s := scanner.New(name, src)
	var words []word
	var spread spreader
	line, seen := 1, 0
	for {
		t := s.Next()
		w := word{kind: t.Kind, start: t.Start, end: t.End}
		for _, c := range s.Comments()[seen:] {
			n := note{text: comment(c.Text), column: c.Start.Column - 1, lines: c.Start.Line - line}
			n.ends = strings.HasPrefix(n.text, "//") || strings.HasPrefix(n.text, "#") || strings.Contains(n.text, "\n")
			w.notes = append(w.notes, n)
			line = c.End.Line
		}
		seen = len(s.Comments())
		w.lines = t.Start.Line - line
		line = t.End.Line
		for _, part := range t.Parts {
			// The language takes no blanks away inside of a reference.
			w.fixed = w.fixed || part.Interpolation && part.Start.Line != part.End.Line
		}
		words = append(words, w)
		spread.next(words)
		if t.Kind == token.EOF {
			return words
		}
	}
}

// spreader decides, word by word, which brackets are spread.
type spreader struct {
	open      []bracket
	component bool // inside of a COMPONENT
}

type bracket struct {
	index     int // of the opening word
	assigned  int // entries with =
	spread    bool
	multiline bool // something inside takes several lines
}

// next looks at the last of the words so far.
func (s *spreader) next(words []word) {
	at := len(words) - 1
	w := &words[at]
	if len(s.open) == 0 {
		if w.kind.Statement() {
			s.component = w.kind == token.COMPONENT
		}
	} else {
		s.inside(&s.open[len(s.open)-1], words)
	}
	switch w.kind {
	case token.LeftBrace, token.LeftBracket, token.LeftParen:
		w.body = len(s.open) == 0 && s.component && w.kind == token.LeftBrace
		s.open = append(s.open, bracket{index: at})
	case token.RightBrace, token.RightBracket, token.RightParen:
		s.close(words)
	}
}

// inside looks at a word directly inside of a bracket, or at its end.
func (s *spreader) inside(b *bracket, words []word) {
	w := &words[len(words)-1]
	for _, n := range w.notes {
		b.spread = b.spread || n.ends
	}
	switch w.kind {
	case token.RightBrace, token.RightBracket, token.RightParen:
		return
	case token.Assign, token.PlusAssign:
		b.assigned++
	case token.String:
		b.multiline = b.multiline || w.start.Line != w.end.Line
	}
	if opening := &words[b.index]; len(words)-2 == b.index && w.start.Line > opening.end.Line {
		b.spread = true
	}
}

func (s *spreader) close(words []word) {
	b := s.open[len(s.open)-1]
	s.open = s.open[:len(s.open)-1]
	opening := &words[b.index]
	opening.spread = b.spread || opening.body && (b.assigned > 1 || b.multiline)
	if len(s.open) > 0 {
		outer := &s.open[len(s.open)-1]
		outer.multiline = outer.multiline || opening.spread || b.multiline
	}
}
