package render

import (
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/sdk"
)

// Components writes the table of `ps`. now is what ages are counted from.
func Components(w io.Writer, list []sdk.Component, now time.Time, style Style) error {
	rows := [][]string{{"NAME", "STATUS", "RESTARTS", "PORTS", "UP"}}
	for _, c := range list {
		rows = append(rows, []string{
			diag.Escape(string(c.ID)), status(c), strconv.Itoa(c.Restarts), Ports(c.Expose), up(c, now),
		})
	}
	return Table(w, rows, func(row, column int, text string) string {
		switch {
		case row == 0:
			return style.Bold(text)
		case column == 1:
			return paintStatus(style, list[row-1], text)
		}
		return text
	})
}

func status(c sdk.Component) string {
	text := string(c.Status)
	switch {
	case c.Status == container.StatusRunning && c.Health == container.HealthHealthy:
		text += ", healthy"
	case c.Status == container.StatusRunning && c.Health != "":
		text += ", " + string(c.Health)
	case c.Status == container.StatusFailed && c.Reason != "":
		text += ": " + firstLine(c.Reason)
	case c.Status == container.StatusExited && c.Exit != nil:
		text = c.Exit.String()
	}
	return Crop(diag.Escape(text), 60)
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

func paintStatus(style Style, c sdk.Component, text string) string {
	switch c.Status {
	case container.StatusRunning:
		if c.Health == "" || c.Health == container.HealthHealthy {
			return style.Green(text)
		}
		if c.Health == container.HealthUnhealthy {
			return style.Red(text)
		}
		return style.Yellow(text)
	case container.StatusFailed:
		return style.Red(text)
	case container.StatusExited:
		if c.Exit != nil && c.Exit.Code != 0 {
			return style.Red(text)
		}
	case container.StatusCreated, container.StatusStarting, container.StatusStopping:
		return style.Yellow(text)
	}
	return text
}

// up tells for how long a component runs, or since when it does not.
func up(c sdk.Component, now time.Time) string {
	switch c.Status {
	case container.StatusRunning, container.StatusStopping:
		if !c.Started.IsZero() {
			return Age(now.Sub(c.Started))
		}
	case container.StatusExited, container.StatusCompleted, container.StatusFailed:
		if !c.Finished.IsZero() {
			return Age(now.Sub(c.Finished)) + " ago"
		}
	}
	return "–"
}
