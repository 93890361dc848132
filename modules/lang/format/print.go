package format

import "github.com/containust/containust/modules/lang/token"

// printer writes words as lines. It knows that they follow the grammar.
type printer struct {
	src    []byte
	tokens []word
	at     int
	out    lines

	base int // the indentation of the current statement or entry
}

func (p *printer) word() *word { return &p.tokens[p.at] }

func (p *printer) kind() token.Kind { return p.tokens[p.at].kind }

// file writes all statements.
func (p *printer) file() {
	p.separate(0, true)
	for p.kind() != token.EOF {
		p.statement()
		p.separate(0, false)
	}
}

// statement writes from one keyword of a statement to before the next.
func (p *printer) statement() {
	started := len(p.out.list)
	p.plain()
	for p.kind() != token.EOF && !p.kind().Statement() {
		switch p.kind() {
		case token.LeftBrace, token.LeftBracket, token.LeftParen:
			p.brackets()
		case token.Assign:
			p.assign(started)
		default:
			p.plain()
		}
	}
}

// entry writes a property, a map's entry, a parameter, an argument, or a value
// of a list.
func (p *printer) entry(spread bool) {
	started := len(p.out.list)
	if !spread {
		started = -1
	}
	p.value()
	for {
		switch p.kind() {
		case token.Colon:
			p.plain()
		case token.Assign, token.PlusAssign:
			p.assign(started)
		default:
			return
		}
		p.value()
	}
}

func (p *printer) value() {
	switch p.kind() {
	case token.LeftBrace, token.LeftBracket, token.LeftParen:
		p.brackets()
	default:
		p.plain()
	}
}

// assign writes an operator: as one to align, if the name before it is all
// that stands on the line where its entry started.
func (p *printer) assign(started int) {
	w := p.word()
	if len(w.notes) > 0 || len(p.out.list) != started {
		p.plain()
		return
	}
	p.out.assign(p.literal(w, 0))
	p.at++
}

// plain writes a word, with a blank before it where one belongs, and with the
// comments that stand between it and the word before it.
func (p *printer) plain() {
	p.lead()
	w := p.word()
	p.out.write(p.literal(w, p.out.indent()))
	p.at++
}

// lead writes what comes before a word inside of an entry or statement.
func (p *printer) lead() {
	w := p.word()
	tight := p.tight()
	for _, n := range w.notes {
		tight = w.kind == token.Comma
		if !n.ends {
			p.blank()
			p.out.write(n.text)
			continue
		}
		p.out.trail(n.text)
		indent := p.base + indentWidth
		if w.body {
			indent = p.base
		}
		p.out.start(indent, false)
	}
	w.notes = nil
	if !tight {
		p.blank()
	}
}

// blank writes a blank, unless there is one or the line is empty.
func (p *printer) blank() {
	if !p.out.empty() && p.out.text[len(p.out.text)-1] != ' ' {
		p.out.write(" ")
	}
}

// tight tells whether the current word follows the one before it without a
// blank.
func (p *printer) tight() bool {
	switch p.kind() {
	case token.Comma, token.Dot, token.Slash, token.Colon, token.LeftParen:
		return true
	}
	if p.at == 0 {
		return false
	}
	switch p.tokens[p.at-1].kind {
	case token.Dot, token.Slash, token.LeftParen, token.LeftBracket:
		return true
	case token.Colon:
		return p.kind() == token.Number // of EXPOSE; a type follows a parameter's
	}
	return false
}

// brackets writes an opening bracket, what is inside, and the closing one.
func (p *printer) brackets() {
	p.lead()
	opening := p.word()
	p.out.write(p.literal(opening, 0))
	p.at++
	if opening.spread {
		p.spread(opening)
	} else {
		p.inline(opening)
	}
}

// spread writes one entry a line.
func (p *printer) spread(opening *word) {
	indent, base := p.out.indent(), p.base
	p.base = indent + indentWidth
	p.separate(p.base, true)
	for !closes(p.kind()) {
		p.entry(true)
		if opening.kind != token.LeftBrace {
			p.out.write(",")
		}
		p.separate(p.base, false)
	}
	p.base = base
	p.out.start(indent, false)
	p.out.write(p.literal(p.word(), 0))
	p.at++
}

// inline writes everything on one line.
func (p *printer) inline(opening *word) {
	padded := opening.kind == token.LeftBrace && !(closes(p.kind()) && len(p.word().notes) == 0)
	if padded {
		p.out.write(" ")
	}
	for first := true; ; first = false {
		before, behind := p.notes()
		if closes(p.kind()) {
			p.remarks(append(before, behind...), !first)
			break
		}
		p.remarks(before, !first)
		if !first {
			p.out.write(",")
			p.blank()
		}
		p.remarks(behind, false)
		if len(behind) > 0 {
			p.blank()
		}
		p.entry(false)
	}
	if padded {
		p.out.write(" ")
	}
	p.out.write(p.literal(p.word(), 0))
	p.at++
}

// remarks writes comments that stand on one line with what is around them.
func (p *printer) remarks(notes []note, apart bool) {
	for i, n := range notes {
		if apart || i > 0 {
			p.blank()
		}
		p.out.write(n.text)
	}
}

func closes(k token.Kind) bool {
	return k == token.RightBrace || k == token.RightBracket || k == token.RightParen
}

// notes takes the comments between two entries, and the comma there: those
// that belong to the entry before, and those that belong to the one behind.
// Without a comma, all of a line belong to the one behind.
func (p *printer) notes() (before, behind []note) {
	before = p.take()
	if p.kind() != token.Comma {
		return nil, before
	}
	lines := p.word().lines
	p.at++
	behind = p.take()
	if len(behind) > 0 {
		behind[0].lines += lines
	} else {
		p.word().lines += lines
	}
	return before, behind
}

func (p *printer) take() []note {
	w := p.word()
	notes := w.notes
	w.notes = nil
	return notes
}

// separate ends the line of one entry and starts that of the next, with the
// comments between them. It starts none before a closing bracket and at the
// end of the file. first says that nothing stands before the entry.
func (p *printer) separate(indent int, first bool) {
	before, behind := p.notes()
	all := append(before, behind...)
	w := p.word()
	last := closes(w.kind) || w.kind == token.EOF

	trailing := 0
	for trailing < len(all) && all[trailing].lines == 0 {
		trailing++
	}
	if trailing == len(all) && w.lines == 0 && !last {
		trailing = len(before)
	}
	if len(p.out.list) == 0 {
		trailing = 0 // at the start of the file
	}
	for _, n := range all[:trailing] {
		p.out.trail(n.text)
	}
	for i, n := range all[trailing:] {
		if i > 0 && n.lines == 0 {
			p.out.write(" ", n.text)
			continue
		}
		p.out.start(indent, !first && n.lines > 1)
		p.out.write(n.moved(indent))
		first = false
	}
	switch {
	case last:
	case len(all) > trailing && w.lines == 0:
		p.out.write(" ")
	default:
		p.out.start(indent, !first && w.lines > 1)
	}
}
