package lint

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

var importPattern = regexp.MustCompile(`(?:from|import|require\()\s*['"](\.{1,2}/[^'"]+)['"]`)

// ReadScript is the text of a k6 script and of the files beside it that it
// imports. What cannot be read is left out.
func ReadScript(file string) string {
	var all strings.Builder
	seen := map[string]bool{}
	var read func(file string)
	read = func(file string) {
		if seen[file] || len(seen) > 50 {
			return
		}
		seen[file] = true
		src, err := os.ReadFile(file)
		if err != nil {
			return
		}
		all.Write(src)
		all.WriteByte('\n')
		for _, m := range importPattern.FindAllSubmatch(src, -1) {
			read(filepath.Join(filepath.Dir(file), string(m[1])))
		}
	}
	read(filepath.Clean(file))
	return all.String()
}
