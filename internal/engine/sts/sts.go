// Package sts is the use cases of the Security Token Service: who a caller is,
// and sessions of roles.
//
// A session is not stored: its token is the session, sealed with the engine's
// data key, so that it costs nothing, outlives a restart and cannot be made up.
//
// Invariants: a session ends when its time is over and when its role is gone;
// what it may do is what its role may do at that moment.
package sts

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/json"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"

	"github.com/fairlead-lb/fairlead/internal/engine/sealed"
	"github.com/fairlead-lb/fairlead/internal/iam/directory"
	"github.com/fairlead-lb/fairlead/internal/wire"
)

// Config is what a Service stands on. All fields are required.
type Config struct {
	AccountID string
	Directory *directory.Directory
	Box       *sealed.Box
	Now       func() time.Time
}

// Service answers the actions.
type Service struct{ Config }

// New returns the use cases over what c names.
func New(c Config) *Service { return &Service{c} }

// API is the service for wire.NewHandler.
func (s *Service) API() wire.API {
	return wire.API{
		Service:   "sts",
		Version:   "2011-06-15",
		Namespace: "https://sts.amazonaws.com/doc/2011-06-15/",
		Actions: []wire.Action{
			wire.Query("GetCallerIdentity", getCallerIdentity),
			wire.Query("AssumeRole", s.assumeRole),
			wire.Query("AssumeRoleWithWebIdentity", s.assumeRoleWithWebIdentity).Open(),
		},
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
// to users and roles, the same for the same one.
func userID(c wire.Caller) string {
	switch {
	case c.Role != "":
		return uniqueID("AROA", c.Role) + ":" + c.ARN[strings.LastIndex(c.ARN, "/")+1:]
	case c.Name == "" || strings.HasSuffix(c.ARN, ":root"):
		return c.AccountID
	}
	return uniqueID("AIDA", c.ARN)
}

func uniqueID(prefix, of string) string {
	sum := sha256.Sum256([]byte(of))
	return prefix + base32.StdEncoding.EncodeToString(sum[:])[:17]
}

func (s *Service) assumeRole(ctx context.Context, in *sts.AssumeRoleInput) (*sts.AssumeRoleOutput, error) {
	if in.Policy != nil || len(in.PolicyArns) > 0 || len(in.Tags) > 0 || len(in.TransitiveTagKeys) > 0 {
		return nil, notOffered()
	}
	keys := map[string][]string{"sts:RoleSessionName": {*in.RoleSessionName}}
	if in.ExternalId != nil {
		keys["sts:ExternalId"] = []string{*in.ExternalId}
	}
	role, err := s.Directory.AssumeRole(ctx, *in.RoleArn, keys)
	if err != nil {
		return nil, err
	}
	credentials, user, err := s.open(role, *in.RoleSessionName, in.DurationSeconds)
	if err != nil {
		return nil, err
	}
	return &sts.AssumeRoleOutput{Credentials: credentials, AssumedRoleUser: user, SourceIdentity: in.SourceIdentity}, nil
}

func (s *Service) assumeRoleWithWebIdentity(ctx context.Context, in *sts.AssumeRoleWithWebIdentityInput) (*sts.AssumeRoleWithWebIdentityOutput, error) {
	if in.Policy != nil || len(in.PolicyArns) > 0 {
		return nil, notOffered()
	}
	role, claims, err := s.Directory.AssumeRoleWithWebIdentity(ctx, *in.RoleArn, *in.WebIdentityToken, s.Now())
	if err != nil {
		return nil, err
	}
	credentials, user, err := s.open(role, *in.RoleSessionName, in.DurationSeconds)
	if err != nil {
		return nil, err
	}
	return &sts.AssumeRoleWithWebIdentityOutput{
		Credentials: credentials, AssumedRoleUser: user, SubjectFromWebIdentityToken: &claims.Subject,
		Audience: aws.String(strings.Join(claims.Audience, ",")), Provider: &claims.Issuer,
	}, nil
}

func notOffered() error {
	return wire.ValidationErrorf("Session policies and session tags are not offered by this endpoint; a session may do what its role may do")
}

// session is what a token holds.
type session struct {
	AccessKeyID string    `json:"accessKeyId"`
	Secret      string    `json:"secret"`
	Role        string    `json:"role"`
	Name        string    `json:"name"`
	Expires     time.Time `json:"expires"`
}

// sealName binds tokens to their purpose.
const sealName = "session"

// Bounds of a session (STS API reference).
const (
	defaultDuration = 3600
	minDuration     = 900
)

var sessionName = regexp.MustCompile(`^[\w+=,.@-]+$`)

// open makes a session of a role.
func (s *Service) open(role directory.Role, name string, seconds *int32) (*types.Credentials, *types.AssumedRoleUser, error) {
	duration := time.Duration(defaultDuration) * time.Second
	if seconds != nil {
		duration = time.Duration(*seconds) * time.Second
	}
	switch {
	case len(name) < 2 || len(name) > 64 || !sessionName.MatchString(name):
		return nil, nil, wire.ValidationErrorf("1 validation error detected: Value '%s' at 'roleSessionName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\\w+=,.@-]{2,64}", name)
	case duration < minDuration*time.Second:
		return nil, nil, wire.ValidationErrorf("1 validation error detected: Value '%d' at 'durationSeconds' failed to satisfy constraint: Member must have value greater than or equal to %d", *seconds, minDuration)
	case duration > role.MaxSession:
		return nil, nil, wire.ValidationErrorf("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
	}
	secret := make([]byte, 30)
	_, _ = rand.Read(secret) // crypto/rand never fails
	opened := session{
		AccessKeyID: "ASIA" + rand.Text()[:16], Secret: base64.StdEncoding.EncodeToString(secret), Role: role.Name, Name: name,
		Expires: s.Now().UTC().Add(duration).Truncate(time.Second),
	}
	raw, err := json.Marshal(opened)
	if err != nil {
		return nil, nil, err
	}
	token := base64.StdEncoding.EncodeToString(s.Box.Seal(raw, sealName))
	return &types.Credentials{AccessKeyId: &opened.AccessKeyID, SecretAccessKey: &opened.Secret, SessionToken: &token, Expiration: &opened.Expires},
		&types.AssumedRoleUser{Arn: aws.String(s.sessionARN(opened)), AssumedRoleId: aws.String(uniqueID("AROA", role.Name) + ":" + name)}, nil
}

func (s *Service) sessionARN(opened session) string {
	return "arn:aws:sts::" + s.AccountID + ":assumed-role/" + opened.Role + "/" + opened.Name
}

// Session implements wire.Sessions.
func (s *Service) Session(token string) (wire.Credential, bool) {
	var opened session
	box, err := base64.StdEncoding.DecodeString(token)
	if err != nil {
		return wire.Credential{}, false
	}
	raw, err := s.Box.Open(box, sealName)
	if err != nil || json.Unmarshal(raw, &opened) != nil {
		return wire.Credential{}, false
	}
	if _, exists := s.Directory.Role(opened.Role); !exists {
		return wire.Credential{}, false
	}
	caller := wire.Caller{AccountID: s.AccountID, Role: opened.Role, ARN: s.sessionARN(opened), AccessKeyID: opened.AccessKeyID}
	return wire.Credential{Caller: caller, SecretAccessKey: opened.Secret, SessionToken: token, Expires: opened.Expires}, true
}
