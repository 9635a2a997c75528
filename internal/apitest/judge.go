package apitest

import (
	"context"
	"maps"
	"path"
	"sync"

	"github.com/fairlead-lb/fairlead/internal/wire"
)

// Judge is an authorizer that remembers what it was asked. The zero Judge
// allows everything.
type Judge struct {
	mu    sync.Mutex // requests come from the server's goroutines
	deny  string
	asked []Question
}

// Question is what a use case asked before it acted.
type Question struct {
	Action, Resource string
	Keys             map[string][]string // of conditions
}

// Deny refuses the actions of a pattern from now on, like "ec2:*", and no
// others; "" allows all again.
func (j *Judge) Deny(pattern string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.deny = pattern
}

// Take returns the questions since the last Take.
func (j *Judge) Take() []Question {
	j.mu.Lock()
	defer j.mu.Unlock()
	asked := j.asked
	j.asked = nil
	return asked
}

// Authorize answers as the engine's own directory does.
func (j *Judge) Authorize(_ context.Context, action, resource string, keys map[string][]string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.asked = append(j.asked, Question{action, resource, keys})
	if denied, _ := path.Match(j.deny, action); denied {
		return wire.AccessDeniedf("no %s on %s", action, resource)
	}
	return nil
}

// Keys are all of these condition keys, as a Question has them.
func Keys(sets ...map[string][]string) map[string][]string {
	all := map[string][]string{}
	for _, keys := range sets {
		maps.Copy(all, keys)
	}
	return all
}
