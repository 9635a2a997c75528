// Package admin is the engine's own API, for its operators: JSON 1.1, signed as
// AWS's are, with the signing name "fairlead" and the target prefix
// "FairleadAdmin".
//
// Invariant: only the root key may call it.
package admin

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"

	"github.com/fairlead-lb/fairlead/internal/engine/audit"
	"github.com/fairlead-lb/fairlead/internal/engine/trouble"
	"github.com/fairlead-lb/fairlead/internal/wire"
)

// TargetPrefix begins X-Amz-Target, before a dot and the action.
const TargetPrefix = "FairleadAdmin"

// Config is what a Service stands on. All fields are required.
type Config struct {
	Trouble *trouble.Trouble
	Calls   *audit.Log
	Copy    wire.Stream            // of the state
	Root    func(wire.Caller) bool // whether a caller used the root key
}

// Service answers the actions.
type Service struct{ Config }

// New returns the API over what c names.
func New(c Config) *Service { return &Service{c} }

// API is the service for wire.NewHandler.
func (s *Service) API() wire.API {
	return wire.API{
		Service: trouble.AdminService, TargetPrefix: TargetPrefix, Region: Region,
		Actions: []wire.Action{
			wire.JSON("GetTrouble", rootOnly(s, s.getTrouble)),
			wire.JSON("PutTrouble", rootOnly(s, s.putTrouble)),
			wire.JSON("ListCalls", rootOnly(s, s.listCalls)),
			wire.StreamJSON("Backup", s.backup),
		},
	}
}

// rootOnly refuses everybody else.
func rootOnly[I, O any](s *Service, f func(context.Context, *I) (*O, error)) func(context.Context, *I) (*O, error) {
	return func(ctx context.Context, in *I) (*O, error) {
		if err := s.checkRoot(ctx); err != nil {
			return nil, err
		}
		return f(ctx, in)
	}
}

func (s *Service) checkRoot(ctx context.Context) error {
	if caller := wire.CallerFrom(ctx); !s.Root(caller) {
		return wire.AccessDeniedf("User: %s is not the root of the engine: its own API needs the root key", caller.ARN)
	}
	return nil
}

// backup streams a copy of the state. What is secret in it is sealed with the
// data key, which is not part of it.
func (s *Service) backup(ctx context.Context, _ *struct{}) (wire.Stream, error) {
	return s.Copy, s.checkRoot(ctx)
}

// ListCallsInput says how many calls are wanted: 100 unless told.
type ListCallsInput struct {
	MaxItems int `json:"maxItems"`
}

// ListCallsOutput is the newest calls, newest first.
type ListCallsOutput struct {
	Calls []audit.Entry `json:"calls"`
}

const defaultCalls = 100

func (s *Service) listCalls(_ context.Context, in *ListCallsInput) (*ListCallsOutput, error) {
	if in.MaxItems < 0 {
		return nil, wire.ValidationErrorf("maxItems is %d; it must not be negative", in.MaxItems)
	}
	return &ListCallsOutput{s.Calls.Recent(cmp.Or(in.MaxItems, defaultCalls))}, nil
}

func (s *Service) getTrouble(context.Context, *struct{}) (*trouble.Settings, error) {
	settings := s.Trouble.Settings()
	return &settings, nil
}

// putTrouble replaces the settings. Members that do not exist are refused: a
// misspelt one would be no trouble at all.
func (s *Service) putTrouble(_ context.Context, raw *json.RawMessage) (*trouble.Settings, error) {
	decoder := json.NewDecoder(bytes.NewReader(*raw))
	decoder.DisallowUnknownFields()
	var settings trouble.Settings
	if err := decoder.Decode(&settings); err != nil {
		return nil, wire.ValidationErrorf("The settings cannot be read: %s", err)
	}
	if err := s.Trouble.Set(settings); err != nil {
		return nil, wire.ValidationErrorf("%s", err)
	}
	return &settings, nil
}
