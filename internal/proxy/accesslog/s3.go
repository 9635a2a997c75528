package accesslog

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// S3 delivers to an S3-compatible service with path-style requests.
type S3 struct {
	Endpoint    string // such as https://s3.us-west-2.amazonaws.com
	Region      string
	Credentials aws.CredentialsProvider
	Client      *http.Client // default: one with a timeout of a minute
}

// maxAnswer is how much of an error's text is shown, bytes.
const maxAnswer = 1 << 10

// Deliver implements Deliverer.
func (s *S3) Deliver(ctx context.Context, bucket, key string, content *os.File) error {
	request, hash, err := s.request(ctx, bucket, key, content)
	if err != nil {
		return err
	}
	credentials, err := s.Credentials.Retrieve(ctx)
	if err != nil {
		return fmt.Errorf("find credentials for S3: %w", err)
	}
	request.Header.Set("X-Amz-Content-Sha256", hash)
	unescaped := func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true } // as S3 has it
	if err := v4.NewSigner().SignHTTP(ctx, credentials, request, hash, "s3", s.Region, time.Now(), unescaped); err != nil {
		return err
	}
	client := s.Client
	if client == nil {
		client = &http.Client{Timeout: time.Minute}
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	err = errors.Join(err, response.Body.Close())
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("PUT %s: %s: %s", request.URL.Redacted(), response.Status, strings.TrimSpace(string(text)))
	}
	return err
}

// request is a PUT of the whole file, with its hash.
func (s *S3) request(ctx context.Context, bucket, key string, content *os.File) (*http.Request, string, error) {
	endpoint, err := url.Parse(s.Endpoint)
	if err != nil {
		return nil, "", err
	}
	sum := sha256.New()
	size, err := io.Copy(sum, content)
	if err != nil {
		return nil, "", err
	}
	if _, err := content.Seek(0, io.SeekStart); err != nil {
		return nil, "", err
	}
	target := endpoint.JoinPath(bucket, key)
	request, err := http.NewRequestWithContext(ctx, http.MethodPut, target.String(), io.NopCloser(content))
	if err != nil {
		return nil, "", err
	}
	request.ContentLength = size
	request.Header.Set("Content-Type", "text/plain")
	return request, hex.EncodeToString(sum.Sum(nil)), nil
}
