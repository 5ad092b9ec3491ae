package spec

import "strings"

// maxWord bounds the work on a word; nobody misspells a longer one by little.
const maxWord = 64

// Suggest returns the candidate that the word is most likely a slip of, or ""
// where none is near: at most a third of the word's letters may differ.
func Suggest(word string, candidates []string) string {
	if len(word) > maxWord {
		return ""
	}
	best, least := "", max(1, len([]rune(word))/3)+1
	for _, c := range candidates {
		if len(c) > maxWord {
			continue
		}
		if d := distance(strings.ToLower(word), strings.ToLower(c)); d < least && c != word {
			best, least = c, d
		}
	}
	return best
}

// distance counts insertions, deletions, replacements and swaps of neighbours
// (optimal string alignment).
func distance(a, b string) int {
	s, t := []rune(a), []rune(b)
	rows := make([][]int, len(s)+1)
	for i := range rows {
		rows[i] = make([]int, len(t)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(s); i++ {
		for j := 1; j <= len(t); j++ {
			cost := 1
			if s[i-1] == t[j-1] {
				cost = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && s[i-1] == t[j-2] && s[i-2] == t[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(s)][len(t)]
}
