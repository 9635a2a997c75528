// Package directory knows the users of the engine: their access keys and what
// their policies allow.
//
// Users come from a YAML file that is watched; policies stand in it or in JSON
// files beside it. Besides there may be a root key, which may do everything, as
// an account's root user on AWS.
//
// Invariants: a Directory always holds one consistent reading of the files. A
// new version with any problem is logged with all of them and not taken; the
// old one stays in force. Secrets never reach a log.
package directory

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/fairlead-lb/fairlead/internal/iam"
	"github.com/fairlead-lb/fairlead/internal/iam/oidc"
	"github.com/fairlead-lb/fairlead/internal/wire"
)

// Config is what a Directory needs.
type Config struct {
	Path      string // the IAM file; empty when there is the root key only
	AccountID string // twelve digits
	Root      Key    // the zero Key when there is none
	Logger    *slog.Logger
}

// Directory finds access keys and judges requests. It is safe for use from many
// goroutines.
type Directory struct {
	Config
	current atomic.Pointer[reading]
}

// reading is the content of the files at one moment.
type reading struct {
	keys      map[string]wire.Credential // by access key ID
	policies  map[string][]*iam.Policy   // by user name
	roles     map[string]*Role
	providers map[string]oidc.Provider // by issuer
	files     []string                 // what was read, to be watched
}

// Open reads the IAM file. The error has all its problems.
func Open(cfg Config) (*Directory, error) {
	d := &Directory{Config: cfg}
	r, err := d.read()
	if err != nil {
		return nil, err
	}
	d.current.Store(r)
	return d, nil
}

func (d *Directory) rootARN() string { return "arn:aws:iam::" + d.AccountID + ":root" }

// IsRoot reports whether a caller used the root key.
func (d *Directory) IsRoot(c wire.Caller) bool { return c.ARN == d.rootARN() }

// Credential finds an access key. It implements wire.Credentials.
func (d *Directory) Credential(accessKeyID string) (wire.Credential, bool) {
	if d.Root.AccessKeyID != "" && accessKeyID == d.Root.AccessKeyID {
		caller := wire.Caller{AccountID: d.AccountID, ARN: d.rootARN(), AccessKeyID: accessKeyID}
		return wire.Credential{Caller: caller, SecretAccessKey: d.Root.SecretAccessKey}, true
	}
	c, ok := d.current.Load().keys[accessKeyID]
	return c, ok
}

// Authorize returns nil when the caller in ctx may do an action on a resource,
// and AWS's AccessDenied otherwise. Resource is an ARN, or * for an action that
// is about no resource. Keys are the condition keys that the use case knows
// (aws:ResourceTag/…, aws:RequestTag/…, aws:TagKeys, …); those that every
// request has are added here. The resource is noted for the audit log.
func (d *Directory) Authorize(ctx context.Context, action, resource string, keys map[string][]string) error {
	if resource != "*" {
		wire.NoteResource(ctx, resource)
	}
	caller := wire.CallerFrom(ctx)
	if d.IsRoot(caller) {
		return nil
	}
	request := iam.Request{Action: action, Resource: resource, Context: d.context(ctx, action, keys)}
	decision := iam.Evaluate(d.policiesOf(caller), request)
	if decision.Allowed {
		return nil
	}
	d.Logger.Info("request refused by IAM", "caller", caller.ARN, "action", action, "resource", resource,
		"policy", decision.Policy, "statement", decision.Statement)
	return wire.AccessDeniedf("%s", decision.Refusal(caller.ARN, request))
}

// policiesOf are those of the caller: a user, or a session of a role.
func (d *Directory) policiesOf(caller wire.Caller) []*iam.Policy {
	now := d.current.Load()
	if caller.Role == "" {
		return now.policies[caller.Name]
	}
	if role, ok := now.roles[caller.Role]; ok {
		return role.policies
	}
	return nil
}

// context adds the global condition keys to those of the use case.
func (d *Directory) context(ctx context.Context, action string, keys map[string][]string) map[string][]string {
	caller, call := wire.CallerFrom(ctx), wire.CallFrom(ctx)
	all := map[string][]string{
		"aws:PrincipalArn":    {caller.ARN},
		"aws:RequestedRegion": {call.Region},
		"aws:SecureTransport": {strconv.FormatBool(call.Secure)},
		"aws:SourceIp":        {call.SourceIP.String()},
	}
	if caller.Name != "" {
		all["aws:username"] = []string{caller.Name}
	}
	if caller.Role != "" {
		all["aws:PrincipalArn"] = []string{d.roleARN(caller.Role)}
	}
	if strings.HasPrefix(action, "ec2:") {
		all["ec2:Region"] = []string{call.Region}
	}
	maps.Copy(all, keys)
	return all
}

// String keeps secrets out of logs.
func (d *Directory) String() string { return fmt.Sprintf("IAM file %q", d.Path) }
