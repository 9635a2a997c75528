package engine

import (
	"context"
	"slices"
	"time"

	"github.com/fairlead-lb/fairlead/internal/engine/acm"
	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/store"
)

// certificates is the service of certificates over a view of the state.
func (e *Engine) certificates(db state.DB) *acm.Service {
	return acm.New(acm.Config{
		Region: e.Region, AccountID: e.AccountID, DB: db, Box: e.box, Users: certificateUsers, Authorizer: e.directory, Now: time.Now,
	})
}

func hasCertificate(r store.Reader, arn string) bool {
	_, ok := state.Certificates.Get(r, arn)
	return ok
}

// certificateUsers lists the load balancers whose listeners use a certificate.
func certificateUsers(r store.Reader, arn string) []string {
	var arns []string
	for l := range state.ListenersByCertificate.All(r, arn) {
		arns = append(arns, l.LoadBalancerARN)
	}
	for b := range state.ClassicLoadBalancersByCertificate.All(r, arn) {
		arns = append(arns, b.ARN)
	}
	slices.Sort(arns)
	return slices.Compact(arns)
}

// renewInterval is how often certificates are looked at: their renewal has
// weeks.
const renewInterval = 24 * time.Hour

// renewCertificates renews what expires soon, until ctx ends.
func (e *Engine) renewCertificates(ctx context.Context) {
	ticker := time.NewTicker(renewInterval)
	defer ticker.Stop()
	for {
		if err := e.certificates(e.db).Renew(); err != nil {
			e.Logger.Error("certificates are not renewed", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
