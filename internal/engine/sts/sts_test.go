package sts

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"regexp"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/fairlead-lb/fairlead/internal/wire"
)

type key struct{ caller wire.Caller }

func (key) Retrieve(context.Context) (aws.Credentials, error) {
	return aws.Credentials{AccessKeyID: "AKIAFAIRLEADTEST0001", SecretAccessKey: "s"}, nil
}

func (k key) Credential(string) (wire.Credential, bool) {
	return wire.Credential{Caller: k.caller, SecretAccessKey: "s"}, true
}

func TestGetCallerIdentity(t *testing.T) {
	for name, tc := range map[string]struct {
		caller wire.Caller
		userID string // a pattern
	}{
		"a user": {wire.Caller{AccountID: "000000000000", Name: "controller", ARN: "arn:aws:iam::000000000000:user/controller"}, `^AIDA[A-Z2-7]{17}$`},
		"root":   {wire.Caller{AccountID: "000000000000", ARN: "arn:aws:iam::000000000000:root"}, `^000000000000$`},
	} {
		t.Run(name, func(t *testing.T) {
			k := key{tc.caller}
			server := httptest.NewServer(wire.NewHandler(wire.Config{
				APIs: []wire.API{API()}, Credentials: k, Region: "us-west-2", Now: time.Now, Logger: slog.New(slog.DiscardHandler),
			}))
			defer server.Close()
			client := sdk.NewFromConfig(aws.Config{Region: "us-west-2", BaseEndpoint: &server.URL, Credentials: k, HTTPClient: server.Client()})
			out, err := client.GetCallerIdentity(t.Context(), &sdk.GetCallerIdentityInput{})
			if err != nil {
				t.Fatal(err)
			}
			if *out.Account != tc.caller.AccountID || *out.Arn != tc.caller.ARN || !regexp.MustCompile(tc.userID).MatchString(*out.UserId) {
				t.Errorf("got account %s, ARN %s, user ID %s", *out.Account, *out.Arn, *out.UserId)
			}
		})
	}
}
