package settings

import "strings"

// nearest is the word of known that s was probably meant to be, or "".
func nearest(s string, known []string) string {
	best, bestAt := "", 0
	for _, k := range known {
		d := distance(strings.ToLower(s), strings.ToLower(k))
		if d <= max(1, len(k)/3) && (best == "" || d < bestAt) {
			best, bestAt = k, d
		}
	}
	return best
}

// distance counts the letters to insert, drop, change or swap with a neighbour
// to get from a to b.
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	if len(x) > 64 || len(y) > 64 {
		return max(len(x), len(y))
	}
	rows := make([][]int, len(x)+1)
	for i := range rows {
		rows[i] = make([]int, len(y)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(x); i++ {
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			d := min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				d = min(d, rows[i-2][j-2]+1)
			}
			rows[i][j] = d
		}
	}
	return rows[len(x)][len(y)]
}
