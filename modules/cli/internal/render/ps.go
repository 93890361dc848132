package render

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/observe/metrics"
	"github.com/containust/containust/modules/sdk"
)

// PsOptions say how the table of `ps` looks.
type PsOptions struct {
	Now   time.Time // what ages are counted from
	Width int       // in columns; zero: as wide as it gets
	Style Style
}

// psColumn is a column of `ps`.
type psColumn struct {
	title string
	drop  int // columns with a higher number go first where it gets narrow; zero: never
	cell  func(c sdk.Component, now time.Time) string
}

var psColumns = []psColumn{
	{"NAME", 0, func(c sdk.Component, _ time.Time) string { return diag.Escape(string(c.ID)) }},
	{"STATUS", 0, func(c sdk.Component, _ time.Time) string { return status(c) }},
	{"RESTARTS", 3, func(c sdk.Component, _ time.Time) string { return strconv.Itoa(c.Restarts) }},
	{"CPU", 1, func(c sdk.Component, _ time.Time) string {
		return used(c, metrics.CPU, func(u *sdk.Usage) string { return fmt.Sprintf("%.1f %%", 100*u.CPU) })
	}},
	{"MEMORY", 1, func(c sdk.Component, _ time.Time) string { return used(c, metrics.Memory, memory) }},
	{"PIDS", 4, func(c sdk.Component, _ time.Time) string {
		return used(c, metrics.PIDs, func(u *sdk.Usage) string { return strconv.Itoa(u.PIDs) })
	}},
	{"NET IN/OUT", 5, func(c sdk.Component, _ time.Time) string {
		return used(c, metrics.Net, func(u *sdk.Usage) string { return traffic(u.Net) })
	}},
	{"BLOCK IN/OUT", 6, func(c sdk.Component, _ time.Time) string {
		return used(c, metrics.Block, func(u *sdk.Usage) string { return traffic(u.Block) })
	}},
	{"PORTS", 2, func(c sdk.Component, _ time.Time) string { return Ports(c.Expose) }},
	{"UP", 0, up},
}

// Components writes the table of `ps`. Where it gets narrow the status is shortened
// first, then columns that do not fit are left out, what people look for least
// first.
func Components(w io.Writer, list []sdk.Component, opts PsOptions) error {
	columns := psColumns
	rows := psRows(columns, list, opts.Now)
	if opts.Width > 0 {
		for drop := 6; drop > 0 && narrowest(rows) > opts.Width; drop-- {
			columns = slices.DeleteFunc(slices.Clone(columns), func(c psColumn) bool { return c.drop == drop })
			rows = psRows(columns, list, opts.Now)
		}
		room := columnWidths(rows)[statusColumn] + opts.Width - tableWidth(rows)
		for _, row := range rows {
			row[statusColumn] = Crop(row[statusColumn], max(narrowStatus, room))
		}
	}
	return Table(w, rows, func(row, column int, text string) string {
		switch {
		case row == 0:
			return opts.Style.Bold(text)
		case column == statusColumn:
			return paintStatus(opts.Style, list[row-1], text)
		}
		return text
	})
}

const (
	statusColumn = 1
	narrowStatus = 18 // characters: "running, unhealthy"
)

// narrowest is how wide rows are when the status is shortened.
func narrowest(rows [][]string) int {
	status := columnWidths(rows)[statusColumn]
	return tableWidth(rows) - status + min(status, narrowStatus)
}

func psRows(columns []psColumn, list []sdk.Component, now time.Time) [][]string {
	rows := [][]string{nil}
	for _, column := range columns {
		rows[0] = append(rows[0], column.title)
	}
	for _, c := range list {
		var row []string
		for _, column := range columns {
			row = append(row, column.cell(c, now))
		}
		rows = append(rows, row)
	}
	return rows
}

// used is what a component uses of something; with a tilde if that is not exact.
func used(c sdk.Component, m metrics.Measure, text func(*sdk.Usage) string) string {
	switch {
	case c.Usage == nil, slices.Contains(c.Usage.Missing, m):
		return "–"
	case slices.Contains(c.Usage.Approximate, m):
		return "~" + text(c.Usage)
	}
	return text(c.Usage)
}

func memory(u *sdk.Usage) string {
	text := Size(u.Memory)
	if u.MemoryLimit > 0 {
		text += " / " + Size(u.MemoryLimit)
	}
	return text
}

func traffic(t metrics.Traffic) string { return Traffic(t.In) + " / " + Traffic(t.Out) }

func status(c sdk.Component) string {
	text := string(c.Status)
	switch {
	case c.Paused:
		text = "paused"
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
		if c.Paused {
			return style.Yellow(text)
		}
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
