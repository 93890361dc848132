package lsp

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/creachadair/jrpc2"

	"github.com/containust/containust/modules/lang/editor"
	"github.com/containust/containust/modules/lang/token"
)

// cursor returns what a request sees, the document that it is about, and the
// offset of its position.
func (s *server) cursor(p *positionParams) (*look, *document, int, error) {
	l := s.docs.look()
	doc, err := l.opened(p.TextDocument)
	if err != nil {
		return nil, nil, 0, err
	}
	return l, doc, doc.offset(s.encoding(), p.Position), nil
}

// textRange converts a range of a document.
func (s *server) textRange(doc *document, r token.Range) textRange {
	e := s.encoding()
	return textRange{Start: doc.position(e, r.Start.Offset), End: doc.position(e, r.End.Offset)}
}

// locations converts ranges of files that were looked at.
func (s *server) locations(l *look, ranges []token.Range) ([]location, error) {
	list := []location{}
	for _, r := range ranges {
		doc, err := l.get(r.File)
		if err != nil {
			return nil, jrpc2.Errorf(requestFailed, "%v", err)
		}
		list = append(list, location{URI: doc.uri, Range: s.textRange(doc, r)})
	}
	return list, nil
}

// completionKinds are the protocol's numbers.
var completionKinds = map[editor.CompletionKind]int{
	editor.KeywordCompletion:   14,
	editor.PropertyCompletion:  10,
	editor.ValueCompletion:     12,
	editor.ComponentCompletion: 6,
	editor.TemplateCompletion:  7,
	editor.ImportCompletion:    9,
	editor.LetCompletion:       21,
	editor.ParameterCompletion: 6,
	editor.ReferenceCompletion: 18,
	editor.FileCompletion:      17,
	editor.FolderCompletion:    19,
}

func (s *server) completion(_ context.Context, p *positionParams) (any, error) {
	l, doc, offset, err := s.cursor(p)
	if err != nil {
		return nil, err
	}
	found := l.view(doc).Complete(offset)
	e := s.encoding()
	replaced := textRange{Start: doc.position(e, found.Start), End: doc.position(e, found.End)}
	snippets := s.capabilities().TextDocument.Completion.CompletionItem.SnippetSupport
	out := completionList{Incomplete: found.Incomplete, Items: []completionItem{}}
	for i, c := range found.List {
		item := completionItem{
			Label: c.Label, Kind: completionKinds[c.Kind], Detail: c.Detail, Documentation: c.Doc,
			SortText: fmt.Sprintf("%04d", i), InsertFormat: plainFormat, TextEdit: textEdit{Range: replaced, NewText: c.Text},
		}
		if snippets && c.Cursor < len(c.Text) {
			item.InsertFormat = snippetFormat
			item.TextEdit.NewText = snippet.Replace(c.Text[:c.Cursor]) + "$0" + snippet.Replace(c.Text[c.Cursor:])
		}
		out.Items = append(out.Items, item)
	}
	return out, nil
}

// snippet escapes what means something in a snippet.
var snippet = strings.NewReplacer(`\`, `\\`, `$`, `\$`, `}`, `\}`)

func (s *server) hover(_ context.Context, p *positionParams) (any, error) {
	l, doc, offset, err := s.cursor(p)
	if err != nil {
		return nil, err
	}
	h, ok := l.view(doc).Hover(offset)
	if !ok {
		return nil, nil
	}
	out := hoverResult{Range: s.textRange(doc, h.Range), Contents: markup{Kind: "plaintext"}}
	code, text := h.Code, h.Text
	if slices.Contains(s.capabilities().TextDocument.Hover.ContentFormat, "markdown") {
		out.Contents.Kind = "markdown"
		text = markdown.Replace(text)
		if code != "" {
			code = fence(code)
		}
	}
	out.Contents.Value = strings.Trim(code+"\n\n"+text, "\n")
	return out, nil
}

// fence marks a text as code, between more backticks than it has itself.
func fence(code string) string {
	marks := "```"
	for strings.Contains(code, marks) {
		marks += "`"
	}
	return marks + "ctst\n" + code + "\n" + marks
}

// markdown escapes what means something in Markdown.
var markdown = strings.NewReplacer(`\`, `\\`, "`", "\\`", "*", `\*`, "_", `\_`, "<", `\<`, ">", `\>`, "[", `\[`, "]", `\]`, "#", `\#`, "~", `\~`, "|", `\|`)

func (s *server) definition(_ context.Context, p *positionParams) (any, error) {
	l, doc, offset, err := s.cursor(p)
	if err != nil {
		return nil, err
	}
	r, ok := l.view(doc).Definition(offset)
	if !ok {
		return []location{}, nil
	}
	return s.locations(l, []token.Range{r})
}

func (s *server) references(_ context.Context, p *referenceParams) (any, error) {
	l, doc, offset, err := s.cursor(&p.positionParams)
	if err != nil {
		return nil, err
	}
	view := l.view(doc)
	found := view.References(offset, l.all())
	if definition, ok := view.Definition(offset); ok && !p.Context.IncludeDeclaration {
		found = slices.DeleteFunc(found, func(r token.Range) bool { return r == definition })
	}
	return s.locations(l, found)
}

// symbolKinds are the protocol's numbers.
var symbolKinds = map[editor.SymbolKind]int{
	editor.Component: 19, editor.Template: 5, editor.Let: 14, editor.Import: 2, editor.Parameter: 13,
}

func (s *server) symbols(_ context.Context, p *documentParams) (any, error) {
	doc, err := s.docs.look().opened(p.TextDocument)
	if err != nil {
		return nil, err
	}
	found := doc.parsed().Symbols()
	if s.capabilities().TextDocument.DocumentSymbol.Hierarchical {
		return s.symbolTree(doc, found), nil
	}
	flat := []symbolInformation{}
	for _, f := range found {
		flat = append(flat, symbolInformation{
			Name: f.Name, Kind: symbolKinds[f.Kind], Location: location{URI: doc.uri, Range: s.textRange(doc, f.Range)},
		})
	}
	return flat, nil
}

func (s *server) symbolTree(doc *document, found []editor.Symbol) []documentSymbol {
	tree := []documentSymbol{}
	for _, f := range found {
		tree = append(tree, documentSymbol{
			Name: f.Name, Detail: f.Detail, Kind: symbolKinds[f.Kind],
			Range: s.textRange(doc, f.Range), Selection: s.textRange(doc, f.Select), Children: s.symbolTree(doc, f.Inside),
		})
	}
	return tree
}

func (s *server) prepareRename(_ context.Context, p *positionParams) (any, error) {
	l, doc, offset, err := s.cursor(p)
	if err != nil {
		return nil, err
	}
	r, err := l.view(doc).Renameable(offset)
	if err != nil {
		return nil, jrpc2.Errorf(requestFailed, "%v", err)
	}
	return prepareResult{Range: s.textRange(doc, r), Placeholder: string(doc.text[r.Start.Offset:r.End.Offset])}, nil
}

func (s *server) rename(_ context.Context, p *renameParams) (any, error) {
	l, doc, offset, err := s.cursor(&p.positionParams)
	if err != nil {
		return nil, err
	}
	edits, err := l.view(doc).Rename(offset, p.NewName, l.all())
	if err != nil {
		return nil, jrpc2.Errorf(requestFailed, "%v", err)
	}
	var order []*document
	byFile := map[*document][]textEdit{}
	for _, e := range edits {
		target, err := l.get(e.Range.File)
		if err != nil {
			return nil, jrpc2.Errorf(requestFailed, "%v", err)
		}
		if byFile[target] == nil {
			order = append(order, target)
		}
		byFile[target] = append(byFile[target], textEdit{Range: s.textRange(target, e.Range), NewText: e.Text})
	}
	var out workspaceEdit
	if !s.capabilities().Workspace.WorkspaceEdit.DocumentChanges {
		out.Changes = map[string][]textEdit{}
		for _, target := range order {
			out.Changes[target.uri] = byFile[target]
		}
		return out, nil
	}
	for _, target := range order {
		id := versionedID{URI: target.uri}
		if target.open {
			id.Version = &target.version
		}
		out.DocumentChanges = append(out.DocumentChanges, documentEdit{TextDocument: id, Edits: byFile[target]})
	}
	return out, nil
}

// formatting answers with nothing for a file that cannot be formatted: its
// errors are on the screen already, and an editor that formats when it saves
// would only tell them again.
func (s *server) formatting(_ context.Context, p *documentParams) (any, error) {
	doc, err := s.docs.look().opened(p.TextDocument)
	if err != nil {
		return nil, err
	}
	text, found := s.opts.Format(doc.path, doc.text)
	if found.HasErrors() || bytes.Equal(text, doc.text) {
		return []textEdit{}, nil
	}
	return []textEdit{s.difference(doc, text)}, nil
}

// difference is an edit of the lines between the first and the last that
// differ, so that the cursor stays where nothing changes.
func (s *server) difference(doc *document, text []byte) textEdit {
	start := 0
	for i := 0; i < min(len(doc.text), len(text)) && doc.text[i] == text[i]; i++ {
		if text[i] == '\n' {
			start = i + 1
		}
	}
	same := 0
	for i := 1; i <= min(len(doc.text), len(text))-start && doc.text[len(doc.text)-i] == text[len(text)-i]; i++ {
		if text[len(text)-i] == '\n' {
			same = i - 1
		}
	}
	e := s.encoding()
	return textEdit{
		Range:   textRange{Start: doc.position(e, start), End: doc.position(e, len(doc.text)-same)},
		NewText: string(text[start : len(text)-same]),
	}
}
