package app_test

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"io/fs"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/runner/app"
)

// A saved day plays again on the live page, and only whoever has its token sees it.
func TestGameDayReplay(t *testing.T) {
	b := newDayBench(t, brokenGuardrail)
	b.approved()
	g := b.start()
	g.says("go", "--as", "ana")
	run := g.ends(app.ExitAborted)
	cmd := b.command("gameday", "replay", g.runDir(), "--pace", "100")
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGINT)
		_ = cmd.Wait()
	}()
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	url, token, found := strings.Cut(strings.TrimSpace(strings.TrimPrefix(line, "replay")), "/#")
	require.True(t, found, line)
	req, err := http.NewRequest(http.MethodGet, url+"/events", nil)
	require.NoError(t, err)
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	res.Body.Close()
	assert.Equal(t, http.StatusUnauthorized, res.StatusCode)
	req.Header.Set("Authorization", "Bearer "+token)
	res, err = http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	seen := 0
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() && lines.Text() != "event: end" {
		if strings.HasPrefix(lines.Text(), "id: ") {
			seen++
		}
	}
	require.NoError(t, lines.Err())
	assert.Equal(t, len(run.Entries), seen, "every entry, once")
}

// Others reach the page by TLS and with a token only, under the names that the
// certificate is for; and what they may do is what their token allows.
func TestGameDayForOthers(t *testing.T) {
	b := newDayBench(t, keptGuardrail)
	pool := b.certificate("day.example")
	b.must("gameday", "plan", "day.yaml", "--seed", "1")
	for want, flags := range map[string][]string{
		"needs --tls-cert and --tls-key":    {"--listen", "0.0.0.0:0"},
		"--listen 127.0.0.1:0: a page that": {"--listen", "127.0.0.1:0", "--tls-cert", "cert.pem"},
		"open none.pem":                     {"--listen", "0.0.0.0:0", "--tls-cert", "none.pem", "--tls-key", "key.pem"},
		"--tls-key: tls: failed to find":    {"--listen", "0.0.0.0:0", "--tls-cert", "cert.pem", "--tls-key", "day.yaml"},
		"say where with --listen":           {"--tls-cert", "cert.pem", "--tls-key", "key.pem"},
	} {
		out, code := b.run(append([]string{"gameday", "run", "small-day.plan.json", "--dry-run"}, flags...)...)
		assert.Equal(t, app.ExitUsage, code, want)
		assert.Contains(t, out, want)
	}
	assert.NoDirExists(t, filepath.Join(b.dir, "out"), "nothing was begun")

	g := b.start("--dry-run", "--listen", "0.0.0.0:0", "--tls-cert", "cert.pem", "--tls-key", "key.pem")
	var at []string
	require.Eventually(t, func() bool {
		at = regexp.MustCompile(`elsewhere +https://day\.example:(\d+)/`).FindStringSubmatch(g.said())
		return at != nil
	}, time.Minute, 20*time.Millisecond)
	addr := "127.0.0.1:" + at[1]
	token := func(flags ...string) string {
		link := strings.TrimSpace(b.must(append([]string{"gameday", "link"}, flags...)...))
		_, token, found := strings.Cut(link, "/#")
		require.True(t, found, link)
		assert.NotContains(t, g.said(), token, "a log does not hold it")
		return token
	}
	acts, looks := token(), token("--observer")

	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, addr)
		},
	}}
	ask := func(method, url, token, body string) int {
		t.Helper()
		req, err := http.NewRequest(method, url, strings.NewReader(body))
		require.NoError(t, err)
		req.Header.Set("Content-Type", "application/json")
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		res, err := client.Do(req)
		require.NoError(t, err)
		_ = res.Body.Close()
		return res.StatusCode
	}
	page, note := "https://day.example:"+at[1], `{"what":"note","author":"cleo","text":"from elsewhere"}`
	assert.Equal(t, http.StatusUnauthorized, ask("GET", page+"/day", "", ""))
	assert.Equal(t, http.StatusUnauthorized, ask("GET", page+"/day", "WRONG", ""))
	assert.Equal(t, http.StatusBadRequest, ask("GET", page+"/day?token="+acts, acts, ""))
	assert.Equal(t, http.StatusOK, ask("GET", page+"/day", looks, ""))
	assert.Equal(t, http.StatusForbidden, ask("POST", page+"/command", looks, note))
	assert.Equal(t, http.StatusOK, ask("POST", page+"/command", acts, note))
	assert.Equal(t, http.StatusBadRequest, ask("GET", "http://day.example:"+at[1]+"/day", acts, ""), "without TLS it says nothing")

	login, err := client.Post(page+"/login", "application/json", strings.NewReader(`{"token":"`+looks+`"}`))
	require.NoError(t, err)
	defer login.Body.Close()
	assert.Contains(t, login.Header.Get("Set-Cookie"), "; Secure", "a session is for TLS only")

	for name, certs := range map[string]*tls.Config{
		"a certificate that nobody vouches for": {ServerName: "day.example"},
		"a name that it is not for":             {ServerName: "other.example", RootCAs: pool},
		"an old protocol":                       {ServerName: "day.example", RootCAs: pool, MaxVersion: tls.VersionTLS11},
	} {
		_, err := tls.Dial("tcp", addr, certs)
		assert.Error(t, err, name)
	}
	bound, err := tls.Dial("tcp", addr, &tls.Config{ServerName: "day.example", RootCAs: pool})
	require.NoError(t, err)
	defer bound.Close()
	_, err = io.WriteString(bound, "GET /day HTTP/1.1\r\nHost: evil.example\r\nAuthorization: Bearer "+acts+"\r\n\r\n")
	require.NoError(t, err)
	res, err := http.ReadResponse(bufio.NewReader(bound), nil)
	require.NoError(t, err)
	defer res.Body.Close()
	assert.Equal(t, http.StatusMisdirectedRequest, res.StatusCode, "a name that was bound to the address")

	require.Eventually(t, func() bool { // from anywhere, at any time
		return ask("POST", page+"/command", acts, `{"what":"abort","author":"cleo","text":"enough"}`) == http.StatusOK
	}, time.Minute, 50*time.Millisecond)
	run := g.ends(app.ExitAborted)
	g.nothingLeft()
	assert.Contains(t, run.End.Error, "by cleo: enough")
	require.NotEmpty(t, run.Notes)
	assert.Equal(t, "cleo", run.Notes[0].Author)
	require.NoError(t, filepath.WalkDir(g.runDir(), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		assert.NotContains(t, string(data), acts, path)
		assert.NotContains(t, string(data), looks, path)
		return err
	}))
}

// certificate writes cert.pem and key.pem for a name, and returns what vouches for it.
func (b *dayBench) certificate(name string) *x509.CertPool {
	b.t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	require.NoError(b.t, err)
	cert := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, public, private)
	require.NoError(b.t, err)
	key, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(b.t, err)
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	b.write("cert.pem", string(text))
	b.write("key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})))
	pool := x509.NewCertPool()
	require.True(b.t, pool.AppendCertsFromPEM(text))
	return pool
}
