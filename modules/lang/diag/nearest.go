package diag

import "strings"

// Nearest returns the candidate that a person most likely meant by word, or ""
// when none is near: at most a third of the word's letters, and at least one,
// may be missing, added, wrong or swapped with their neighbour, but not all of
// them. Case, '-' and '_' do not count. Among equals the first wins.
func Nearest(word string, candidates []string) string {
	folded := fold(word)
	best, bestDistance := "", min(max(1, len(folded)/3)+1, max(1, len(folded)))
	for _, c := range candidates {
		if c == word || c == "" {
			continue
		}
		if d := distance(folded, fold(c), bestDistance); d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}

// fold makes strings equal that differ only in case, '-' and '_', and cuts
// what no name is as long as, so that hostile input stays cheap.
func fold(s string) string {
	if len(s) > 64 {
		s = s[:64]
	}
	return strings.ReplaceAll(strings.ToLower(s), "-", "_")
}

// distance is the optimal string alignment distance, or limit when it is not
// below it.
func distance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	// A transposition looks two rows back.
	before, previous, current := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range previous {
		previous[j] = j
	}
	for i := 1; i <= len(a); i++ {
		current[0] = i
		lowest := i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			d := min(previous[j]+1, current[j-1]+1, previous[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, before[j-2]+1)
			}
			current[j] = d
			lowest = min(lowest, d)
		}
		if lowest >= limit {
			return limit
		}
		before, previous, current = previous, current, before
	}
	return min(previous[len(b)], limit)
}
