package gameday

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"

	"squall/scenarios/spec"
)

// keygen runs the real ssh-keygen.
func keygen(t *testing.T, stdin string, args ...string) (string, error) {
	t.Helper()
	if _, err := exec.LookPath("ssh-keygen"); err != nil {
		t.Skip("ssh-keygen is not installed (package openssh-client)")
	}
	c := exec.Command("ssh-keygen", args...)
	c.Stdin = strings.NewReader(stdin)
	out, err := c.CombinedOutput()
	return string(out), err
}

type keyPair struct {
	file     string
	signer   ssh.Signer
	approver spec.Approver
}

func newKey(t *testing.T, name string, kind ...string) keyPair {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	out, err := keygen(t, "", append([]string{"-q", "-N", "", "-C", name, "-f", file, "-t"}, kind...)...)
	require.NoError(t, err, out)
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	signer, err := ssh.ParsePrivateKey(data)
	require.NoError(t, err)
	public, err := os.ReadFile(file + ".pub")
	require.NoError(t, err)
	return keyPair{file, signer, spec.Approver{Name: name, Key: strings.TrimSpace(string(public))}}
}

const someHash = "4e1a7fe2b0d9a6f7b2f4c2e5d0c8a1b3e6f9d2c5b8a1e4d7c0b3a6f9e2d5c8b1"

// What we sign, the real ssh-keygen verifies; what it signs, we count.
func TestApprovalsAreThoseOfOpenSSH(t *testing.T) {
	for name, kind := range map[string][]string{
		"ed25519": {"ed25519"}, "ecdsa": {"ecdsa"}, "rsa": {"rsa", "-b", "2048"},
	} {
		t.Run(name, func(t *testing.T) {
			ana := newKey(t, "ana", kind...)
			sig, err := Sign(someHash, ana.signer)
			require.NoError(t, err)
			dir := t.TempDir()
			allowed, file := filepath.Join(dir, "allowed"), filepath.Join(dir, "sig")
			require.NoError(t, os.WriteFile(allowed, []byte("ana "+ana.approver.Key+"\n"), 0o600))
			require.NoError(t, os.WriteFile(file, sig, 0o600))
			verify := func(hash, namespace string) error {
				_, err := keygen(t, hash+"\n", "-Y", "verify", "-f", allowed, "-I", "ana", "-n", namespace, "-s", file)
				return err
			}
			assert.NoError(t, verify(someHash, Namespace))
			assert.Error(t, verify("0"+someHash[1:], Namespace), "another plan")
			assert.Error(t, verify(someHash, "file"), "another purpose")

			theirs := exec.Command("ssh-keygen", "-q", "-Y", "sign", "-n", Namespace, "-f", ana.file)
			theirs.Stdin = strings.NewReader(someHash + "\n")
			made, err := theirs.Output()
			require.NoError(t, err)
			who, err := SignedBy(someHash, made, []spec.Approver{ana.approver})
			require.NoError(t, err)
			assert.Equal(t, "ana", who)
		})
	}
}

// A signature counts only if it is an approver's, of this plan, for this purpose.
func TestSignaturesThatDoNotCount(t *testing.T) {
	ana, eve := newKey(t, "ana", "ed25519"), newKey(t, "eve", "ed25519")
	sign := func(k keyPair, hash string) []byte {
		sig, err := Sign(hash, k.signer)
		require.NoError(t, err)
		return sig
	}
	other := exec.Command("ssh-keygen", "-q", "-Y", "sign", "-n", "git", "-f", ana.file)
	other.Stdin = strings.NewReader(someHash + "\n")
	git, err := other.Output()
	require.NoError(t, err)
	good := sign(ana, someHash)
	for name, tt := range map[string]struct {
		sig  []byte
		want string
	}{
		"a stranger's":    {sign(eve, someHash), "no approver's"},
		"another plan's":  {sign(ana, "0"+someHash[1:]), "signature of ana is not of this plan"},
		"for git":         {git, `signed for "git"`},
		"nothing":         {nil, "not an SSH signature"},
		"a PEM of others": {bytes.ReplaceAll(good, []byte("SSH SIGNATURE"), []byte("CERTIFICATE")), "not an SSH signature"},
		"cut":             {good[:len(good)/2], "not an SSH signature"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := SignedBy(someHash, tt.sig, []spec.Approver{ana.approver})
			assert.ErrorContains(t, err, tt.want)
		})
	}
	ben := newKey(t, "ben", "ed25519")
	people, bad := Approvals(someHash, map[string][]byte{
		"a.sig": good, "b.sig": sign(ana, someHash), "c.sig": sign(ben, someHash), "d.sig": sign(eve, someHash),
	}, []spec.Approver{ana.approver, ben.approver})
	assert.Equal(t, []string{"ana", "ben"}, people, "who signs twice is one person")
	assert.Equal(t, []string{"d.sig: signed with a key that is no approver's"}, bad)
}

func FuzzSignedBy(f *testing.F) {
	f.Add([]byte("-----BEGIN SSH SIGNATURE-----\nU1NIU0lH\n-----END SSH SIGNATURE-----\n"))
	f.Fuzz(func(t *testing.T, sig []byte) {
		if who, err := SignedBy(someHash, sig, []spec.Approver{{Name: "ana", Key: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJKCbiKZpaUgQXN/AKxpDdXlXFzXlPfg3v4jrf0jfOQ0"}}); err == nil {
			t.Fatalf("nobody has that key, and yet it counts as %s's", who)
		}
	})
}
