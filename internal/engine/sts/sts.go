// Package sts is the use cases of the Security Token Service that clients call
// to find out who they are.
package sts

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/fairlead-lb/fairlead/internal/wire"
)

// API is the service for wire.NewHandler. It needs nothing: what it tells is in
// the request's signature.
func API() wire.API {
	return wire.API{
		Service:   "sts",
		Version:   "2011-06-15",
		Namespace: "https://sts.amazonaws.com/doc/2011-06-15/",
		Actions:   []wire.Action{wire.Query("GetCallerIdentity", getCallerIdentity)},
	}
}

// getCallerIdentity needs no permission, as on AWS: whoever has a key may know
// whose it is.
func getCallerIdentity(ctx context.Context, _ *sts.GetCallerIdentityInput) (*sts.GetCallerIdentityOutput, error) {
	caller := wire.CallerFrom(ctx)
	id := userID(caller)
	return &sts.GetCallerIdentityOutput{Account: &caller.AccountID, Arn: &caller.ARN, UserId: &id}, nil
}

// userID is the account for its root, and else an ID of the form that IAM gives
// to users, the same for the same user.
func userID(c wire.Caller) string {
	if c.Name == "" || strings.HasSuffix(c.ARN, ":root") {
		return c.AccountID
	}
	sum := sha256.Sum256([]byte(c.ARN))
	return "AIDA" + base32.StdEncoding.EncodeToString(sum[:])[:17]
}
