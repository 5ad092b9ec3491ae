package gameday

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
)

// Call says something to a day from another process.
func Call(ctx context.Context, url, token string, c Command) error {
	data, err := json.Marshal(c)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/command", strings.NewReader(string(data)))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(res.Body, maxBody))
	if res.StatusCode != http.StatusOK {
		return Refused(strings.TrimSpace(string(text)))
	}
	return nil
}

// Refused is what a day answers to what makes no sense now.
type Refused string

func (r Refused) Error() string { return string(r) }
