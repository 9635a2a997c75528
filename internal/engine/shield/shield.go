// Package shield answers the one question that load balancer controllers ask
// AWS Shield: is there a subscription? There is none.
package shield

import (
	"context"

	"github.com/fairlead-lb/fairlead/internal/wire"
)

// Authorizer decides whether the caller in ctx may do something; the error is
// what the client gets.
type Authorizer interface {
	Authorize(ctx context.Context, action, resourceARN string, keys map[string][]string) error
}

// API is the service for wire.NewHandler. Shield is global: requests are signed
// for us-east-1 wherever the engine says it is.
func API(a Authorizer) wire.API {
	return wire.API{
		Service: "shield", TargetPrefix: "AWSShield_20160616", Region: "us-east-1",
		Actions: []wire.Action{wire.JSON("GetSubscriptionState", func(ctx context.Context, _ *struct{}) (*subscription, error) {
			return &subscription{State: "INACTIVE"}, a.Authorize(ctx, "shield:GetSubscriptionState", "*", nil)
		})},
	}
}

type subscription struct {
	State string `json:"SubscriptionState"`
}
