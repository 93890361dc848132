package editor

import (
	"slices"
	"strings"

	"github.com/containust/containust/modules/lang/ast"
	"github.com/containust/containust/modules/lang/scanner"
	"github.com/containust/containust/modules/lang/schema"
	"github.com/containust/containust/modules/lang/token"
)

// spot is what the text before the cursor says about the cursor. It comes from
// tokens, not from the tree: what is being typed is seldom in the tree, and
// what stands behind the cursor must not decide what may stand there.
type spot struct {
	start, end int           // of the word or text around the cursor
	dead       bool          // in a comment, a number, text in wrong quotes: nothing can be said
	head       []token.Token // the statement up to the cursor, without what stands in brackets
	frames     []frame       // the open brackets
	word       token.Kind    // of the word at the cursor; EOF: none
	sameLine   bool          // the cursor is on the line of the token before it

	inString bool
	raw      bool
	text     string // of the string, as it is written, up to the cursor
}

// frame is an open bracket.
type frame struct {
	kind  frameKind
	key   string // that was read last
	state frameState
	seen  []string // the keys
}

type frameKind int

const (
	otherFrame frameKind = iota // that the grammar does not have here
	bodyFrame
	mapFrame
	listFrame
	paramsFrame
	argsFrame
)

type frameState int

const (
	awaitsKey frameState = iota
	hasKey
	awaitsValue
	awaitsType
	hasType
)

// statementAt returns the last statement that starts before the cursor, or nil.
// The one that the cursor is in always starts there.
func (f *File) statementAt(offset int) ast.Statement {
	list := f.Tree.Statements
	i, _ := slices.BinarySearchFunc(list, offset, func(s ast.Statement, offset int) int { return s.Span().Start.Offset - offset })
	if i == 0 {
		return nil
	}
	return list[i-1]
}

// spotAt looks at the text from the statement's start to the cursor.
func (f *File) spotAt(offset int) spot {
	from := 0
	if s := f.statementAt(offset); s != nil {
		from = s.Span().Start.Offset
	}
	cut := f.Text[from:offset]
	s := spot{start: offset, end: offset}
	tokens, comments := scan(cut)
	if n := len(comments); n > 0 && comments[n-1].End.Offset == len(cut) {
		if text := comments[n-1].Text; !strings.HasPrefix(text, "/*") || len(text) < 4 || !strings.HasSuffix(text, "*/") {
			s.dead = true
		}
	}
	tokens = s.takeLast(f.Text, from, cut, tokens)
	s.walk(tokens)
	if n := len(tokens); n > 0 {
		s.sameLine = !strings.Contains(string(f.Text[from+tokens[n-1].End.Offset:offset]), "\n")
	}
	return s
}

func scan(text []byte) ([]token.Token, []token.Comment) {
	sc := scanner.New("", text)
	var tokens []token.Token
	for t := sc.Next(); t.Kind != token.EOF; t = sc.Next() {
		tokens = append(tokens, t)
	}
	return tokens, sc.Comments()
}

// takeLast takes off the word or string that the cursor is in.
func (s *spot) takeLast(text []byte, from int, cut []byte, tokens []token.Token) []token.Token {
	if len(tokens) == 0 {
		return tokens
	}
	last := tokens[len(tokens)-1]
	opened := last.Start.Offset
	word := len(cut)
	for word > 0 && (isWordByte(cut[word-1]) || cut[word-1] == '-') {
		word--
	}
	switch {
	case last.Kind == token.Invalid && last.End.Offset == len(cut) && cut[opened] == '"':
		s.inString, s.raw = true, last.Raw
		opened++
		if s.raw {
			opened += 2
		}
		s.text = string(cut[opened:])
		if !s.raw { // nothing is offered for the whole of a long text
			s.start = from + opened
			s.end = closingQuote(text, from+len(cut))
		}
	case word < len(cut) && opened == word && (last.Kind == token.Ident || last.Kind.Keyword()):
		s.word = last.Kind
		s.start = from + word
		s.end = wordEnd(text, from+len(cut))
	case word < len(cut) && opened == word, last.Kind == token.Invalid && last.End.Offset == len(cut):
		s.dead = true
		return tokens
	default:
		return tokens
	}
	return tokens[:len(tokens)-1]
}

func isWordByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_'
}

// wordEnd is where a word around the cursor ends.
func wordEnd(text []byte, at int) int {
	for {
		for at < len(text) && isWordByte(text[at]) {
			at++
		}
		dash := at
		for dash < len(text) && text[dash] == '-' {
			dash++
		}
		if dash == at || dash == len(text) || !isWordByte(text[dash]) {
			return at
		}
		at = dash
	}
}

// closingQuote is where a string around the cursor ends, or the cursor when it
// has no end yet.
func closingQuote(text []byte, at int) int {
	for i := at; i < len(text) && text[i] != '\n'; i++ {
		switch {
		case text[i] == '"':
			return i
		case text[i] == '\\' && i+1 < len(text) && text[i+1] != '\n':
			i++
		}
	}
	return at
}

// walk goes through the tokens before the cursor.
func (s *spot) walk(tokens []token.Token) {
	for i, t := range tokens {
		assigned := i+1 < len(tokens) && (tokens[i+1].Kind == token.Assign || tokens[i+1].Kind == token.PlusAssign)
		switch {
		case t.Kind.Statement() && !assigned:
			s.frames, s.head = nil, append(s.head[:0], t)
		case t.Kind == token.LeftBrace || t.Kind == token.LeftBracket || t.Kind == token.LeftParen:
			s.frames = append(s.frames, frame{kind: s.frameFor(t.Kind)})
		case t.Kind == token.RightBrace || t.Kind == token.RightBracket || t.Kind == token.RightParen:
			s.close(t)
		case len(s.frames) == 0:
			s.head = append(s.head, t)
		default:
			s.frames[len(s.frames)-1].step(t)
		}
	}
}

// frameFor tells what a bracket opens.
func (s *spot) frameFor(open token.Kind) frameKind {
	if len(s.frames) > 0 {
		switch open {
		case token.LeftBrace:
			return mapFrame
		case token.LeftBracket:
			return listFrame
		}
		return otherFrame
	}
	switch {
	case len(s.head) == 0:
		return otherFrame
	case s.head[0].Kind == token.COMPONENT && open == token.LeftBrace:
		return bodyFrame
	case s.head[0].Kind == token.COMPONENT && open == token.LeftParen && s.has(token.FROM):
		return argsFrame
	case s.head[0].Kind == token.COMPONENT && open == token.LeftParen:
		return paramsFrame
	case s.head[0].Kind == token.LET && open == token.LeftBrace:
		return mapFrame
	case s.head[0].Kind == token.LET && open == token.LeftBracket:
		return listFrame
	}
	return otherFrame
}

func (s *spot) has(kind token.Kind) bool {
	return slices.ContainsFunc(s.head, func(t token.Token) bool { return t.Kind == kind })
}

// close closes the innermost bracket of a kind, with all that is open in it.
func (s *spot) close(t token.Token) {
	for i := len(s.frames) - 1; i >= 0; i-- {
		if !s.frames[i].closedBy(t.Kind) {
			continue
		}
		s.frames = s.frames[:i]
		if i == 0 {
			s.head = append(s.head, t)
			return
		}
		s.frames[i-1].valueRead()
		return
	}
}

func (f *frame) closedBy(kind token.Kind) bool {
	switch f.kind {
	case bodyFrame, mapFrame:
		return kind == token.RightBrace
	case listFrame:
		return kind == token.RightBracket
	case paramsFrame, argsFrame:
		return kind == token.RightParen
	}
	return true
}

func (f *frame) valueRead() {
	if f.state == awaitsValue {
		f.state = awaitsKey
	}
}

// step takes a token that is no bracket.
func (f *frame) step(t token.Token) {
	if f.kind == listFrame || f.kind == otherFrame {
		return
	}
	switch {
	case t.Kind == token.Comma:
		f.state = awaitsKey
	case t.Kind == token.Colon && f.kind == paramsFrame:
		f.state = awaitsType
	case t.Kind == token.Assign, t.Kind == token.PlusAssign, t.Kind == token.Colon:
		f.state = awaitsValue
	case f.state == awaitsValue:
		f.state = awaitsKey
	case f.state == awaitsType:
		f.state = hasType
	case t.Kind == token.Ident || t.Kind.Keyword() || t.Kind == token.String:
		f.key, f.state = t.Text, hasKey
		if t.Kind == token.String && len(t.Parts) == 1 {
			f.key = t.Parts[0].Text
		}
		f.seen = append(f.seen, f.key)
	}
}

// top is the innermost open bracket, or nil.
func (s *spot) top() *frame {
	if len(s.frames) == 0 {
		return nil
	}
	return &s.frames[len(s.frames)-1]
}

// property is the property of the component whose value the cursor is in, or
// whose name stands before it.
func (s *spot) property() *schema.Property {
	if len(s.frames) == 0 || s.frames[0].kind != bodyFrame {
		return nil
	}
	return schema.Lookup(s.frames[0].key)
}

// types returns what the table says that the value at the cursor may be; of a
// map whose key is still to come, the types of the map.
func (s *spot) types() []*schema.Type {
	p := s.property()
	if p == nil {
		return nil
	}
	types := alternatives(p.Type)
	for i := range s.frames[1:] {
		f := &s.frames[i+1]
		var inner []*schema.Type
		for _, t := range types {
			switch {
			case f.kind == listFrame && t.Kind == schema.List:
				inner = append(inner, alternatives(t.Elem)...)
			case f.kind == mapFrame && t.Kind == schema.Map && f.state == awaitsKey && i+2 == len(s.frames):
				inner = append(inner, t)
			case f.kind == mapFrame && t.Kind == schema.Map && t.Field(f.key) != nil:
				inner = append(inner, alternatives(t.Field(f.key).Type)...)
			case f.kind == mapFrame && t.Kind == schema.Map && t.Elem != nil:
				inner = append(inner, alternatives(t.Elem)...)
			}
		}
		types = inner
	}
	return types
}
