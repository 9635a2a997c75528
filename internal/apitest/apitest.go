// Package apitest serves the engine's APIs to the stock AWS SDK, for tests: a
// real client, real signatures and the real wire layer are between a test and
// the use case that it calls.
package apitest

import (
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/smithy-go"

	"github.com/fairlead-lb/fairlead/internal/cloud/plainbody"
	"github.com/fairlead-lb/fairlead/internal/wire"
)

// Where the APIs are, and whose.
const (
	Region    = "us-west-2"
	AccountID = "000000000000"
)

// Serve serves an API until the test ends. What it returns makes an SDK client
// that signs with the only key there is, and never tries again.
func Serve(t testing.TB, api wire.API) aws.Config {
	t.Helper()
	server := httptest.NewServer(wire.NewHandler(wire.Config{
		APIs: []wire.API{api}, Credentials: key{}, Region: Region, Now: time.Now, Logger: slog.New(slog.DiscardHandler),
	}))
	t.Cleanup(server.Close)
	return aws.Config{
		Region: Region, BaseEndpoint: &server.URL, Credentials: key{}, HTTPClient: plainbody.Client(server.Client()),
		Retryer: func() aws.Retryer { return aws.NopRetryer{} },
	}
}

// key is the access key of the caller, for both sides.
type key struct{}

const keyID, secret = "AKIAFAIRLEADTEST0001", "secret"

// Retrieve implements aws.CredentialsProvider.
func (key) Retrieve(context.Context) (aws.Credentials, error) {
	return aws.Credentials{AccessKeyID: keyID, SecretAccessKey: secret}, nil
}

// Credential implements wire.Credentials.
func (key) Credential(id string) (wire.Credential, bool) {
	caller := wire.Caller{AccountID: AccountID, Name: "tester", ARN: "arn:aws:iam::" + AccountID + ":user/tester", AccessKeyID: id}
	return wire.Credential{Caller: caller, SecretAccessKey: secret}, id == keyID
}

// Must ends the test when a call failed: Must(client.Describe(ctx, in))(t).
func Must[T any](out T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
}

// Err is the error of a call whose output does not matter.
func Err[T any](_ T, err error) error { return err }

// Code is the AWS error code of an error, or "" when no answer brought one.
func Code(err error) string {
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		return e.ErrorCode()
	}
	return ""
}
