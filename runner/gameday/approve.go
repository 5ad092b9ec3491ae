package gameday

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/crypto/ssh"

	"squall/scenarios/spec"
)

// Namespace keeps signatures for game days apart from those for anything else.
const Namespace = "squall-gameday"

// What OpenSSH's PROTOCOL.sshsig says.
const (
	sigMagic = "SSHSIG"
	sigPEM   = "SSH SIGNATURE"
	sigHash  = "sha512"
)

// sigBlob is what stands in the armor, after the magic.
type sigBlob struct {
	Version   uint32
	PublicKey string
	Namespace string
	Reserved  string
	HashAlg   string
	Signature string
}

// sigData is what is signed, after the magic.
type sigData struct {
	Namespace string
	Reserved  string
	HashAlg   string
	Hash      string
}

// message is what an approver signs: the plan's hash as a line. So a plan can
// also be approved without squall: squall gameday plan prints it for
// ssh-keygen -Y sign -n squall-gameday.
func message(hash string) []byte { return []byte(hash + "\n") }

// Sign approves the plan of a hash: an SSHSIG signature, as ssh-keygen -Y sign makes it.
func Sign(hash string, key ssh.Signer) ([]byte, error) {
	data := signed(message(hash), sigHash)
	var sig *ssh.Signature
	var err error
	if key.PublicKey().Type() == ssh.KeyAlgoRSA {
		rsa, ok := key.(ssh.AlgorithmSigner)
		if !ok {
			return nil, errors.New("sign: this RSA key cannot sign with SHA-512")
		}
		sig, err = rsa.SignWithAlgorithm(rand.Reader, data, ssh.KeyAlgoRSASHA512)
	} else {
		sig, err = key.Sign(rand.Reader, data)
	}
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	blob := append([]byte(sigMagic), ssh.Marshal(sigBlob{1, string(key.PublicKey().Marshal()), Namespace, "", sigHash, string(ssh.Marshal(sig))})...)
	return pem.EncodeToMemory(&pem.Block{Type: sigPEM, Bytes: blob}), nil
}

func signed(message []byte, hashAlg string) []byte {
	var sum []byte
	switch hashAlg {
	case "sha256":
		s := sha256.Sum256(message)
		sum = s[:]
	default:
		s := sha512.Sum512(message)
		sum = s[:]
	}
	return append([]byte(sigMagic), ssh.Marshal(sigData{Namespace, "", hashAlg, string(sum)})...)
}

// SignedBy says whose signature it is, or why it counts for nothing.
func SignedBy(hash string, armored []byte, approvers []spec.Approver) (string, error) {
	block, _ := pem.Decode(armored)
	if block == nil || block.Type != sigPEM || !bytes.HasPrefix(block.Bytes, []byte(sigMagic)) {
		return "", errors.New("not an SSH signature")
	}
	var blob sigBlob
	if err := ssh.Unmarshal(block.Bytes[len(sigMagic):], &blob); err != nil {
		return "", fmt.Errorf("not an SSH signature: %w", err)
	}
	switch {
	case blob.Version != 1:
		return "", fmt.Errorf("SSH signature of version %d, want 1", blob.Version)
	case blob.Namespace != Namespace:
		return "", fmt.Errorf("signed for %q, want %q", blob.Namespace, Namespace)
	case blob.HashAlg != "sha512" && blob.HashAlg != "sha256":
		return "", fmt.Errorf("signed over hash %q", blob.HashAlg)
	}
	who := ""
	for _, a := range approvers {
		if k, _, _, _, err := ssh.ParseAuthorizedKey([]byte(a.Key)); err == nil && string(k.Marshal()) == blob.PublicKey {
			who = a.Name
		}
	}
	if who == "" {
		return "", errors.New("signed with a key that is no approver's")
	}
	key, err := ssh.ParsePublicKey([]byte(blob.PublicKey))
	if err != nil {
		return "", fmt.Errorf("key of %s: %w", who, err)
	}
	var sig ssh.Signature
	if err := ssh.Unmarshal([]byte(blob.Signature), &sig); err != nil {
		return "", fmt.Errorf("signature of %s: %w", who, err)
	}
	if sig.Format == ssh.KeyAlgoRSA {
		return "", fmt.Errorf("signature of %s uses SHA-1", who)
	}
	if err := key.Verify(signed(message(hash), blob.HashAlg), &sig); err != nil {
		return "", fmt.Errorf("signature of %s is not of this plan", who)
	}
	return who, nil
}

// Approvals are the different people whose signatures count, in order, and what
// is wrong with the signatures that do not.
func Approvals(hash string, signatures map[string][]byte, approvers []spec.Approver) (people []string, bad []string) {
	for _, file := range sortedNames(signatures) {
		who, err := SignedBy(hash, signatures[file], approvers)
		if err != nil {
			bad = append(bad, fmt.Sprintf("%s: %v", file, err))
		} else if !slices.Contains(people, who) {
			people = append(people, who)
		}
	}
	slices.Sort(people)
	return people, bad
}

// WhoseKey names the approver that a key belongs to; "" if it is nobody's.
func WhoseKey(key ssh.PublicKey, approvers []spec.Approver) string {
	for _, a := range approvers {
		if k, _, _, _, err := ssh.ParseAuthorizedKey([]byte(a.Key)); err == nil && bytes.Equal(k.Marshal(), key.Marshal()) {
			return a.Name
		}
	}
	return ""
}
