package admin

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/fairlead-lb/fairlead/internal/engine/trouble"
	"github.com/fairlead-lb/fairlead/internal/iam/directory"
)

// Region is where requests are signed for: the API is one, wherever the engine
// says it is.
const Region = "us-east-1"

// maxErrorBytes bounds what is read of a refusal.
const maxErrorBytes = 64 << 10

// Client calls the API of an engine.
type Client struct {
	Endpoint string // URL
	Key      directory.Key
	HTTP     *http.Client
}

// Call sends input as JSON and returns the body of the answer, to be read and
// closed. An error of the engine's has its code and message.
func (c Client) Call(ctx context.Context, action string, input any) (io.ReadCloser, error) {
	response, err := c.send(ctx, action, input)
	if err != nil {
		return nil, fmt.Errorf("call %s at %s: %w", action, c.Endpoint, err)
	}
	if response.StatusCode == http.StatusOK {
		return response.Body, nil
	}
	defer response.Body.Close()
	var refusal struct {
		Type    string `json:"__type"`
		Message string `json:"message"`
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, maxErrorBytes)).Decode(&refusal); err != nil || refusal.Type == "" {
		return nil, fmt.Errorf("call %s at %s: the answer is %s", action, c.Endpoint, response.Status)
	}
	return nil, fmt.Errorf("call %s at %s: %s: %s", action, c.Endpoint, refusal.Type, refusal.Message)
}

func (c Client) send(ctx context.Context, action string, input any) (*http.Response, error) {
	body, err := json.Marshal(input)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.Endpoint, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/x-amz-json-1.1")
	request.Header.Set("X-Amz-Target", TargetPrefix+"."+action)
	hash := sha256.Sum256(body)
	key := aws.Credentials{AccessKeyID: c.Key.AccessKeyID, SecretAccessKey: c.Key.SecretAccessKey}
	err = v4.NewSigner().SignHTTP(ctx, key, request, hex.EncodeToString(hash[:]), trouble.AdminService, Region, time.Now())
	if err != nil {
		return nil, err
	}
	return c.HTTP.Do(request)
}

// Do calls an action and decodes its output.
func (c Client) Do(ctx context.Context, action string, input, output any) error {
	body, err := c.Call(ctx, action, input)
	if err != nil {
		return err
	}
	defer body.Close()
	if err := json.NewDecoder(body).Decode(output); err != nil {
		return fmt.Errorf("read the answer to %s: %w", action, err)
	}
	return nil
}
