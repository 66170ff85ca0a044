package agent

import (
	"fmt"
	"io"
	"strings"
)

// columns writes rows under each other. A Japanese character takes two places
// of a terminal, which text/tabwriter does not know.
func columns(out io.Writer, rows [][]string) error {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], places(cell))
		}
	}
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			line.WriteString(cell + strings.Repeat(" ", widths[i]-places(cell)+2))
		}
		if _, err := fmt.Fprintln(out, strings.TrimRight(line.String(), " ")); err != nil {
			return err
		}
	}
	return nil
}

// places is how many places of a terminal a text takes; everything from the CJK
// radicals on is wide.
func places(text string) (n int) {
	const firstWide = 0x2E80
	for _, r := range text {
		n++
		if r >= firstWide {
			n++
		}
	}
	return n
}
