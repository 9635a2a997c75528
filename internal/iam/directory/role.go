package directory

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/fairlead-lb/fairlead/internal/iam"
	"github.com/fairlead-lb/fairlead/internal/iam/oidc"
	"github.com/fairlead-lb/fairlead/internal/wire"
)

// role is a role in the IAM file: who may assume it, and what it may do then.
type role struct {
	Name               string          `json:"name"`
	Trust              json.RawMessage `json:"trust"`
	Policies           []policyRef     `json:"policies"`
	MaxSessionDuration int             `json:"maxSessionDuration,omitempty"` // seconds
}

// oidcProvider is an issuer of web identities in the IAM file.
type oidcProvider struct {
	URL       string   `json:"url"`       // the tokens' issuer
	Audiences []string `json:"audiences"` // sts.amazonaws.com when empty
	JWKSFile  string   `json:"jwksFile"`  // its key set, relative to the IAM file; watched
}

// Role is a role as it is used.
type Role struct {
	Name       string
	MaxSession time.Duration
	trust      *iam.Trust
	policies   []*iam.Policy
}

// Bounds of MaxSessionDuration (IAM API reference, CreateRole).
const (
	minMaxSession = time.Hour
	maxMaxSession = 12 * time.Hour
)

const defaultAudience = "sts.amazonaws.com"

func (r *reader) role(path string, in role) {
	made := &Role{Name: in.Name, MaxSession: time.Duration(in.MaxSessionDuration) * time.Second}
	if in.MaxSessionDuration == 0 {
		made.MaxSession = minMaxSession
	}
	if !validName(in.Name) {
		r.problem("%s.name is %q; valid are 1 to 64 letters, digits and +=,.@-_", path, in.Name)
	}
	if _, twice := r.roles[in.Name]; twice {
		r.problem("%s.name %q is taken by another role", path, in.Name)
	}
	if made.MaxSession < minMaxSession || made.MaxSession > maxMaxSession {
		r.problem("%s.maxSessionDuration is %d; valid is 3600 to 43200", path, in.MaxSessionDuration)
	}
	var names []string
	for _, p := range r.providers {
		names = append(names, providerName(p.Issuer))
	}
	var err error
	if made.trust, err = iam.ParseTrust(in.Name, in.Trust, names); err != nil {
		r.problem("%s.trust: %w", path, err)
	}
	for i, p := range in.Policies {
		if parsed := r.policy(fmt.Sprintf("%s.policies[%d]", path, i), p); parsed != nil {
			made.policies = append(made.policies, parsed)
		}
	}
	r.roles[in.Name] = made
}

func (r *reader) provider(path string, in oidcProvider) {
	u, err := url.Parse(in.URL)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		r.problem("%s.url is %q; an issuer such as https://oidc.example.com is needed", path, in.URL)
	}
	if _, twice := r.providers[in.URL]; twice {
		r.problem("%s.url %q is another provider's", path, in.URL)
	}
	p := oidc.Provider{Issuer: in.URL, Audiences: in.Audiences}
	if len(p.Audiences) == 0 {
		p.Audiences = []string{defaultAudience}
	}
	raw, err := r.load(r.beside(in.JWKSFile))
	if err != nil {
		r.problem("%s.jwksFile: %w", path, err)
	} else if p.Keys, err = oidc.ParseKeys(raw); err != nil {
		r.problem("%s.jwksFile %s: %w", path, in.JWKSFile, err)
	}
	r.providers[in.URL] = p
}

// providerName is how ARNs and condition keys write an issuer.
func providerName(issuer string) string {
	_, name, _ := strings.Cut(issuer, "://")
	return strings.TrimSuffix(name, "/")
}

func (d *Directory) roleARN(name string) string {
	return "arn:aws:iam::" + d.AccountID + ":role/" + name
}

// Role finds a role by its name.
func (d *Directory) Role(name string) (Role, bool) {
	r, ok := d.current.Load().roles[name]
	if !ok {
		return Role{}, false
	}
	return *r, true
}

// roleOf finds a role by its ARN. Paths are no part of it here.
func (d *Directory) roleOf(arn string) (*Role, bool) {
	name, ok := strings.CutPrefix(arn, d.roleARN(""))
	if !ok {
		return nil, false
	}
	r, ok := d.current.Load().roles[name]
	return r, ok
}

// AssumeRole returns the role with this ARN when the caller in ctx may assume
// it. Keys are sts:ExternalId and sts:RoleSessionName.
func (d *Directory) AssumeRole(ctx context.Context, arn string, keys map[string][]string) (Role, error) {
	wire.NoteResource(ctx, arn)
	caller := wire.CallerFrom(ctx)
	if d.IsRoot(caller) {
		return Role{}, wire.AccessDeniedf("Roles may not be assumed by root accounts.")
	}
	const action = "sts:AssumeRole"
	request := iam.Request{Action: action, Resource: arn, Context: d.context(ctx, action, keys)}
	principal := caller.ARN
	if caller.Role != "" {
		principal = d.roleARN(caller.Role)
	}
	own := iam.Evaluate(d.policiesOf(caller), request)
	if role, ok := d.roleOf(arn); ok && !own.Explicit {
		trust := role.trust.Judge(request, principal, d.AccountID)
		if trust == iam.TrustedByName || trust == iam.TrustedByAll && own.Allowed {
			return *role, nil
		}
	}
	return Role{}, wire.AccessDeniedf("User: %s is not authorized to perform: %s on resource: %s", caller.ARN, action, arn)
}

// AssumeRoleWithWebIdentity returns the role with this ARN when the bearer of a
// token may assume it, and what the token says.
func (d *Directory) AssumeRoleWithWebIdentity(ctx context.Context, arn, token string, now time.Time) (Role, oidc.Claims, error) {
	wire.NoteResource(ctx, arn)
	provider, ok := d.current.Load().providers[oidc.Issuer(token)]
	if !ok {
		return Role{}, oidc.Claims{}, wire.Errorf("InvalidIdentityToken", "No OpenIDConnect provider found in your account for %s", oidc.Issuer(token))
	}
	claims, err := provider.Verify(token, now)
	switch {
	case errors.Is(err, oidc.ErrExpired):
		return Role{}, claims, wire.Errorf("ExpiredTokenException", "Token expired: current date/time %d must be before the expiration date/time", now.Unix())
	case err != nil:
		return Role{}, claims, wire.Errorf("InvalidIdentityToken", "%s", err)
	}
	name := providerName(provider.Issuer)
	const action = "sts:AssumeRoleWithWebIdentity"
	request := iam.Request{Action: action, Resource: arn, Context: d.context(ctx, action, map[string][]string{
		name + ":sub": {claims.Subject}, name + ":aud": claims.Audience,
	})}
	role, ok := d.roleOf(arn)
	if !ok || role.trust.Judge(request, "arn:aws:iam::"+d.AccountID+":oidc-provider/"+name, "") != iam.TrustedByName {
		return Role{}, claims, wire.AccessDeniedf("Not authorized to perform %s", action)
	}
	return *role, claims, nil
}
