package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/ory/dockertest/v3/docker"
)

// imageLabel marks the images that are made here, with their name.
const imageLabel = "squall.image"

// ImageOf makes an image of one static program and nothing else, unless there
// is one of that very content; it returns its name. Those of other contents, made
// more than a day ago, go.
func ImageOf(ctx context.Context, name, program string) (string, error) {
	text, err := os.ReadFile(program)
	if err != nil {
		return "", fmt.Errorf("image of %s: %w", program, err)
	}
	sum := sha256.Sum256(text)
	tag := name + ":" + hex.EncodeToString(sum[:6])
	c, err := client()
	if err != nil {
		return "", err
	}
	if _, err := c.InspectImage(tag); err == nil {
		return tag, nil
	}
	var tarred bytes.Buffer
	w := tar.NewWriter(&tarred)
	for _, file := range []struct {
		name string
		mode int64
		text []byte
	}{{"Dockerfile", 0o644, fmt.Appendf(nil, "FROM scratch\nLABEL %s=%s\nCOPY program /program\nENTRYPOINT [\"/program\"]\n", imageLabel, name)}, {"program", 0o755, text}} {
		err = errors.Join(err, w.WriteHeader(&tar.Header{Name: file.name, Mode: file.mode, Size: int64(len(file.text))}))
		_, werr := w.Write(file.text)
		err = errors.Join(err, werr)
	}
	if err := errors.Join(err, w.Close()); err != nil {
		return "", err
	}
	var said bytes.Buffer
	if err := c.BuildImage(docker.BuildImageOptions{Name: tag, InputStream: &tarred, OutputStream: &said, Context: ctx}); err != nil {
		return "", fmt.Errorf("image of %s: %w: %s", program, err, said.String())
	}
	forget(c, name, tag, time.Now().Add(-24*time.Hour))
	return tag, nil
}

// forget removes the images of a name made before an instant, but for one. What a
// container uses stays, and so does what Docker will not part with: another time.
func forget(c *docker.Client, name, but string, before time.Time) {
	images, _ := c.ListImages(docker.ListImagesOptions{Filters: map[string][]string{"label": {imageLabel + "=" + name}}})
	for _, image := range images {
		if image.Created < before.Unix() && !slices.Contains(image.RepoTags, but) {
			_ = c.RemoveImage(image.ID)
		}
	}
}

// HasImage reports whether an image is on the machine.
func HasImage(ctx context.Context, name string) bool {
	_, err := Run(ctx, "", nil, "docker", "image", "inspect", "--format", "{{.Id}}", name)
	return err == nil
}
