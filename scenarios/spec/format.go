package spec

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// Format prints every problem once, in order, each with an excerpt of its
// file, and at last the commands that explain what is meant. read gives the
// bytes of a file; where it fails, the excerpt is left out.
func (ps Problems) Format(w io.Writer, read func(file string) ([]byte, error)) error {
	files := map[string][]string{}
	var see []string
	for _, p := range ps.Unique() {
		lines, known := files[p.File]
		if !known {
			if src, err := read(p.File); err == nil {
				lines = strings.Split(string(src), "\n")
			}
			files[p.File] = lines
		}
		if _, err := fmt.Fprintf(w, "%s\n%s", p.Error(), excerpt(lines, p.Pos)); err != nil {
			return fmt.Errorf("print problems: %w", err)
		}
		if p.See != "" && !slices.Contains(see, p.See) {
			see = append(see, p.See)
		}
	}
	if len(see) > 0 {
		if _, err := fmt.Fprintf(w, "see: %s\n", strings.Join(see, ", ")); err != nil {
			return fmt.Errorf("print problems: %w", err)
		}
	}
	return nil
}

// excerpt shows the line of pos under the one before it, its token underlined.
func excerpt(lines []string, pos Pos) string {
	if pos.Line < 1 || pos.Line > len(lines) {
		return ""
	}
	var b strings.Builder
	width := max(4, 1+len(fmt.Sprint(pos.Line)))
	if pos.Line > 1 {
		fmt.Fprintf(&b, " %*d | %s\n", width, pos.Line-1, clip(lines[pos.Line-2]))
	}
	line := clip(lines[pos.Line-1])
	before, token := split(line, pos.Col)
	fmt.Fprintf(&b, ">%*d | %s\n", width, pos.Line, line)
	fmt.Fprintf(&b, " %*s | %s%s\n", width, "", blank(before), strings.Repeat("^", max(1, utf8.RuneCountInString(token))))
	return b.String()
}

// clip keeps a line printable: at most 160 characters, no carriage return.
func clip(line string) string {
	const most = 160
	line = strings.TrimSuffix(line, "\r")
	if runes := []rune(line); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return line
}

// split cuts a line before column col and returns the token that starts there.
func split(line string, col int) (before, token string) {
	runes := []rune(line)
	at := min(max(col-1, 0), len(runes))
	before, rest := string(runes[:at]), string(runes[at:])
	return before, rest[:tokenLen(rest)]
}

// tokenLen is the length in bytes of the YAML token that s begins with.
func tokenLen(s string) int {
	if s == "" {
		return 0
	}
	switch s[0] {
	case '{', '[', '}', ']', ',', '|', '>':
		return 1
	case '"', '\'':
		if end := strings.IndexByte(s[1:], s[0]); end >= 0 {
			return end + 2
		}
		return len(s)
	}
	end := len(s)
	for _, stop := range []string{": ", ", ", " #", "]", "}"} {
		if i := strings.Index(s[:end], stop); i > 0 {
			end = i
		}
	}
	s = strings.TrimRight(s[:end], " \t")
	return len(strings.TrimSuffix(s, ":"))
}

// blank is white space as wide as s; tabs stay, so that columns line up.
func blank(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' {
			return r
		}
		return ' '
	}, s)
}
