package compose

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v4"
)

// resolved is what a tool made of a project (NAME-v1.yml is docker-compose 1.29.2,
// NAME-v2.yml docker's plugin 2.40.3: its config, as it printed it).
func resolved(t *testing.T, name string) *File {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".yml"))
	require.NoError(t, err)
	f := &File{}
	require.NoError(t, yaml.Load(text, &f.doc))
	return f
}

// The tools say the same in two ways, and both are understood alike.
func TestDialects(t *testing.T) {
	for _, tool := range []string{"v1", "v2"} {
		t.Run(tool, func(t *testing.T) {
			told := resolved(t, "told-"+tool)
			told.Choose(nil, nil)
			assert.Equal(t, []string{"api", "front", "store"}, told.Names(), "tools is of a profile")
			url, set := told.Env("api", "STORE_URL")
			assert.True(t, set)
			assert.Equal(t, "kv://user:planted$secret@store:7000/main", url)
			assert.True(t, told.Healthy("store"))
			assert.Equal(t, []string{"default"}, told.Networks("api"))

			fixed := resolved(t, "fixed-"+tool)
			assert.Equal(t, []string{"store"}, fixed.After("api"))
			assert.Equal(t, "always", fixed.Restart("store"))
			assert.Equal(t, "never", fixed.Restart("api"))
			assert.Equal(t, []string{"back", "default"}, fixed.Networks("api"))
			p := Project{Name: "squall-1"}
			require.NoError(t, fixed.Isolate(p))
			assert.Equal(t, "squall-1_back", fixed.NetworkName(p, "back"))
			require.NoError(t, fixed.AddProxy(p, "squall:1", "token", map[string]string{APIPort: "4000"}))
			assert.Equal(t, []string{"back", "default"}, fixed.Networks(ProxyService), "it is where everybody is")
			for _, name := range fixed.Names() {
				s := fixed.service(name)
				assert.Equal(t, "squall-1-"+name, s["container_name"])
				assert.NotContains(t, s, "restart")
				assert.NotContains(t, s, "depends_on")
				if name != ProxyService {
					assert.NotContains(t, s, "ports")
				}
			}
			volumes := fixed.doc["volumes"].(map[string]any)
			assert.NotContains(t, volumes["kept"], "name", "it is the copy's own")
		})
	}
}

// A variable that is led elsewhere keeps whatever else is in it, however often it
// is read and written.
func TestLedVariableKeepsItsDollars(t *testing.T) {
	f := resolved(t, "told-v2")
	value, _ := f.Env("api", "STORE_URL")
	led, err := Lead(value, "store", "squall-proxy:20001")
	require.NoError(t, err)
	require.NoError(t, f.Grant(Wish{Service: "api", Env: map[string]string{"STORE_URL": led}}))
	again, _ := f.Env("api", "STORE_URL")
	assert.Equal(t, "kv://user:planted$secret@squall-proxy:20001/main", again)
	assert.Equal(t, "kv://user:planted$$secret@squall-proxy:20001/main", f.service("api")["environment"].(map[string]any)["STORE_URL"])
}
