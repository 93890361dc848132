// Package token defines the lexical tokens of the .ctst language and the
// positions that everything else in the module reports.
//
//	s := scanner.New("app.ctst", text)
//	for t := s.Next(); t.Kind != token.EOF; t = s.Next() { … }
//
// It runs on every platform, needs no privileges, and may be used from any
// number of goroutines.
package token

// Pos is a place in a file.
type Pos struct {
	Offset int `json:"offset"` // in bytes, from 0
	Line   int `json:"line"`   // from 1
	Column int `json:"column"` // in code points, from 1
}

// Range is a piece of a file: from Start up to, and without, End.
type Range struct {
	File  string `json:"file"`
	Start Pos    `json:"start"`
	End   Pos    `json:"end"`
}
