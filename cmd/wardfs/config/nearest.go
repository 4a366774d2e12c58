package config

import "fmt"

// DidYouMean is a hint that names the known word nearest to one that is not
// known, or otherwise when none is near.
func DidYouMean(word string, known []string, otherwise string) string {
	best, least := "", len(word)/3+2 // one slip in three letters is a slip
	for _, k := range known {
		if d := distance(word, k); d < least {
			best, least = k, d
		}
	}
	if best == "" {
		return otherwise
	}
	return fmt.Sprintf("did you mean %q?", best)
}

// distance is how many letters must be put in, taken out, replaced or swapped
// with their neighbour to make b of a (restricted Damerau-Levenshtein). Words
// longer than any key are not compared.
func distance(a, b string) int {
	const most = 64
	if len(a) > most || len(b) > most {
		return len(a) + len(b)
	}
	var rows [3][most + 1]int // two rows back, one back, this one
	for j := range len(b) + 1 {
		rows[1][j] = j
	}
	for i := 1; i <= len(a); i++ {
		rows[2][0] = i
		for j := 1; j <= len(b); j++ {
			d := min(rows[1][j], rows[2][j-1]) + 1
			if a[i-1] == b[j-1] {
				d = min(d, rows[1][j-1])
			} else {
				d = min(d, rows[1][j-1]+1)
			}
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, rows[0][j-2]+1)
			}
			rows[2][j] = d
		}
		rows[0], rows[1] = rows[1], rows[2]
	}
	return rows[1][len(b)]
}
