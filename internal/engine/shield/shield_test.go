package shield

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/fairlead-lb/fairlead/internal/wire"
)

type key struct{}

func (key) Credential(string) (wire.Credential, bool) {
	return wire.Credential{SecretAccessKey: "s"}, true
}

type authorizer struct{ refusal error }

func (a authorizer) Authorize(_ context.Context, action, _ string, _ map[string][]string) error {
	if action != "shield:GetSubscriptionState" {
		return wire.AccessDeniedf("asked for %s", action)
	}
	return a.refusal
}

func TestThereIsNoSubscription(t *testing.T) {
	for name, tc := range map[string]struct {
		auth   authorizer
		status int
		want   string
	}{
		"allowed": {authorizer{}, 200, `{"SubscriptionState":"INACTIVE"}`},
		"denied":  {authorizer{wire.AccessDeniedf("no")}, 400, `{"__type":"AccessDeniedException","message":"no"}`},
	} {
		t.Run(name, func(t *testing.T) {
			now := time.Now()
			h := wire.NewHandler(wire.Config{
				APIs: []wire.API{API(tc.auth)}, Credentials: key{}, Region: "us-west-2",
				Now: func() time.Time { return now }, Logger: slog.New(slog.DiscardHandler),
			})
			r := httptest.NewRequest(http.MethodPost, "http://api.test/", strings.NewReader("{}"))
			r.Header.Set("X-Amz-Target", "AWSShield_20160616.GetSubscriptionState")
			hash := sha256.Sum256([]byte("{}"))
			err := v4.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: "k", SecretAccessKey: "s"}, r, hex.EncodeToString(hash[:]), "shield", "us-east-1", now)
			if err != nil {
				t.Fatal(err)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != tc.status || w.Body.String() != tc.want {
				t.Errorf("got %d %s, want %d %s", w.Code, w.Body, tc.status, tc.want)
			}
		})
	}
}
