package render

import (
	"io"
	"strings"
	"time"

	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/storage/store"
)

// Images writes the table of `images`. now is what ages are counted from.
func Images(w io.Writer, images []store.Image, now time.Time, style Style) error {
	rows := [][]string{{"DIGEST", "SIZE", "CREATED", "USED BY", "FROM"}}
	for _, img := range images {
		rows = append(rows, []string{
			Digest(img.Digest.String()), Size(img.Size), Age(now.Sub(img.Created)) + " ago",
			diag.Escape(orDash(strings.Join(img.Owners, ", "))), diag.Escape(orDash(strings.Join(img.Sources, ", "))),
		})
	}
	return Table(w, rows, func(row, _ int, text string) string {
		if row == 0 {
			return style.Bold(text)
		}
		return text
	})
}

func orDash(text string) string {
	if text == "" {
		return "–"
	}
	return text
}
