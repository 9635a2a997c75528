package acm

import (
	"context"
	"maps"
	"slices"

	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/store"
	"github.com/fairlead-lb/fairlead/internal/wire"
)

func (s *Service) deleteCertificate(ctx context.Context, in *arnInput) (*struct{}, error) {
	if _, err := s.read(ctx, "DeleteCertificate", in.CertificateArn); err != nil {
		return nil, err
	}
	return nil, s.DB.Update(func(tx *store.Tx) error {
		c, err := s.find(tx, in.CertificateArn)
		if err != nil {
			return err
		}
		if len(s.Users(tx, c.ARN)) > 0 {
			return wire.Errorf("ResourceInUseException", "Certificate %s is in use.", c.ARN)
		}
		state.Certificates.Delete(tx, c.ARN)
		state.PutTags(tx, c.ARN, nil)
		return nil
	})
}

type tagsInput struct {
	CertificateArn string
	Tags           []tag
}

func (s *Service) addTags(ctx context.Context, in *tagsInput) (*struct{}, error) {
	return nil, s.editTags(ctx, "AddTagsToCertificate", in, func(tags map[string]string) error { return merge(tags, in.Tags) })
}

// removeTags removes tags by key; where a value is given, only with that value.
func (s *Service) removeTags(ctx context.Context, in *tagsInput) (*struct{}, error) {
	return nil, s.editTags(ctx, "RemoveTagsFromCertificate", in, func(tags map[string]string) error {
		for _, t := range in.Tags {
			if t.Value == "" || tags[t.Key] == t.Value {
				delete(tags, t.Key)
			}
		}
		return nil
	})
}

func (s *Service) editTags(ctx context.Context, action string, in *tagsInput, edit func(map[string]string) error) error {
	if err := s.checkARN(in.CertificateArn); err != nil {
		return err
	}
	if err := s.allow(ctx, action, in.CertificateArn, requestTags(in.Tags)); err != nil {
		return err
	}
	if len(in.Tags) == 0 {
		return wire.ValidationErrorf("1 validation error detected: Value null at 'tags' failed to satisfy constraint: Member must not be null")
	}
	return s.DB.Update(func(tx *store.Tx) error {
		c, err := s.find(tx, in.CertificateArn)
		if err != nil {
			return err
		}
		tags := state.Tags(tx, c.ARN)
		if err := edit(tags); err != nil {
			return err
		}
		state.PutTags(tx, c.ARN, tags)
		return nil
	})
}

type listTagsOutput struct{ Tags []tag }

func (s *Service) listTags(ctx context.Context, in *arnInput) (*listTagsOutput, error) {
	c, err := s.read(ctx, "ListTagsForCertificate", in.CertificateArn)
	if err != nil {
		return nil, err
	}
	tags := state.Tags(s.DB.Current(), c.ARN)
	out := &listTagsOutput{Tags: []tag{}}
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		out.Tags = append(out.Tags, tag{k, tags[k]})
	}
	return out, nil
}
