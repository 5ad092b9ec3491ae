package app_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/scenarios/spec"
)

// proven is a row of scenarios/PROOFS.md: defect, scenario, assertion, outcome.
var proven = regexp.MustCompile("(?m)^\\| (\\S+) \\| .* \\| (\\S+) \\| `(\\S+)` \\| (\\w+) \\| (\\d+) of (\\d+) \\|$")

// The track record tells of every claim that the shipped scenarios make, and of
// no other: who claims something new has to show it (make prove), and who gives
// up a claim gives up its row.
func TestTrackRecordIsOfTheClaimsAsTheyAre(t *testing.T) {
	claimed := map[string]bool{}
	require.NoError(t, filepath.WalkDir("../../scenarios", func(file string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(file) != ".yaml" || strings.Contains(file, "testdata") || strings.Contains(file, "regress") {
			return err
		}
		sc, problems := spec.Load(file)
		if len(problems) > 0 { // a system or a game day; scenarios are validated elsewhere
			return nil
		}
		for _, c := range sc.Spec.Proves {
			claimed[c.Defect+" "+sc.Metadata.Name+" "+c.By] = true
		}
		return nil
	}))
	text, err := os.ReadFile("../../scenarios/PROOFS.md")
	require.NoError(t, err)
	recorded := map[string]bool{}
	for _, row := range proven.FindAllStringSubmatch(string(text), -1) {
		recorded[row[1]+" "+row[2]+" "+row[3]] = true
		assert.Equal(t, "killed", row[4], row[0])
		assert.Equal(t, row[6], row[5], row[0])
	}
	assert.Equal(t, claimed, recorded)
	assert.NotEmpty(t, claimed)
}
