package ec2

import (
	"context"

	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/store"
	"github.com/fairlead-lb/fairlead/internal/wire"
)

// What the actions that make, change and remove parts of the network share.

// maxMade bounds what may be made of each kind.
const maxMade = 10_000

// making is an action that makes a resource of a kind with tags.
type making struct {
	action, kind string
	tags         map[string]string
}

// allowMake asks for the permission to make a resource with tags, and ends a
// dry run.
func (s *Service) allowMake(ctx context.Context, m making, d DryRun) error {
	if err := s.allow(ctx, m.action, s.arn(m.kind, anyResource), requestTags(m.tags)); err != nil {
		return err
	}
	if err := s.allowTagging(ctx, m.action, m.kind, m.tags); err != nil {
		return err
	}
	return d.check()
}

// allowOn asks for the permission to do something to each of the resources,
// which have to exist, and ends a dry run.
func (s *Service) allowOn(ctx context.Context, action string, d DryRun, ids ...string) error {
	n, r := s.network(), s.DB.Current()
	for _, id := range ids {
		t, err := n.taggable(r, id)
		if err != nil {
			return err
		}
		if err := s.allow(ctx, action, s.arn(t.kind, id), resourceTags(tagsOf(r, id, t.fileTags))); err != nil {
			return err
		}
	}
	return d.check()
}

// own finds a resource that was made through the API. One that is not there but
// was found before stands in the inventory file, or follows from it.
func own[V any](tx *store.Tx, n *network, table *store.Table[V], id string) (V, error) {
	v, ok := table.Get(tx, id)
	if ok {
		return v, nil
	}
	t, err := n.taggable(tx, id)
	if err != nil {
		return v, err
	}
	return v, wire.Errorf("OperationNotPermitted", "The %s '%s' stands in the inventory file and can only be changed there.", t.kind, id)
}

// editOwn replaces the record of a resource that was made through the API by what
// edit makes of it.
func editOwn[V any](s *Service, table *store.Table[V], id string, edit func(*store.Tx, *network, *V) error) error {
	n := s.network()
	_, err := state.Edit(s.DB, table, func(tx *store.Tx) (V, error) { return own(tx, n, table, id) }, func(tx *store.Tx, v *V) error { return edit(tx, n, v) })
	return err
}

// room refuses more of a kind than the state is meant for.
func room[V any](tx *store.Tx, table *store.Table[V], code, nouns string) error {
	if table.Len(tx) >= maxMade {
		return wire.Errorf(code, "The maximum number of %s has been reached.", nouns)
	}
	return nil
}

func dependency(format string, args ...any) error {
	return wire.Errorf("DependencyViolation", format, args...)
}

// boolValue is an attribute that is set to a value, or absent.
type boolValue struct {
	Value *bool `ec2:"Value"`
}

// remove deletes a record and its tags.
func remove[V any](tx *store.Tx, table *store.Table[V], id string) {
	table.Delete(tx, id)
	state.PutTags(tx, id, nil)
}
