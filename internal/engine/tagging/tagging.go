// Package tagging is the use case of the Resource Groups Tagging API that finds
// resources of all services by their tags.
//
// Invariant: resources come in order of their ARNs, each once; a page follows
// on the one before it also when resources came and went between them.
package tagging

import (
	"context"
	"encoding/base64"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/store"
	"github.com/fairlead-lb/fairlead/internal/wire"
)

// Authorizer decides whether the caller in ctx may do something; the error is
// what the client gets.
type Authorizer interface {
	Authorize(ctx context.Context, action, resourceARN string, keys map[string][]string) error
}

// Config is what a Service stands on. All fields are required.
type Config struct {
	Region     string
	AccountID  string
	DB         state.DB
	Authorizer Authorizer
	// EC2 yields the ARNs and tags of EC2's resources, which are not known by ARN:
	// those that have tags in the inventory, and those of the sets.
	EC2 func(r store.Reader, sets iter.Seq[state.TagSet]) iter.Seq2[string, map[string]string]
}

// Service answers the action.
type Service struct{ Config }

// New returns the use case over what c names.
func New(c Config) *Service { return &Service{c} }

// API is the service for wire.NewHandler.
func (s *Service) API() wire.API {
	return wire.API{
		Service: "tagging", TargetPrefix: "ResourceGroupsTaggingAPI_20170126",
		Actions: []wire.Action{wire.JSON("GetResources", s.getResources)},
	}
}

type getResourcesInput struct {
	ResourceARNList     []string
	ResourceTypeFilters []string
	ResourcesPerPage    *int
	PaginationToken     string
	TagFilters          []tagFilter
}

// tagFilter asks for a tag: with any value when Values is empty.
type tagFilter struct {
	Key    string
	Values []string
}

type getResourcesOutput struct {
	PaginationToken        string // empty on the last page
	ResourceTagMappingList []resource
}

type resource struct {
	ResourceARN string
	Tags        []tag
}

type tag struct{ Key, Value string }

// Limits of GetResources (API reference).
const (
	defaultPageSize = 50
	maxPageSize     = 100
	maxARNs         = 100
	maxFilters      = 50
	maxFilterValues = 20
)

func (s *Service) getResources(ctx context.Context, in *getResourcesInput) (*getResourcesOutput, error) {
	if err := s.Authorizer.Authorize(ctx, "tag:GetResources", "*", nil); err != nil {
		return nil, err
	}
	size, err := in.check()
	if err != nil {
		return nil, err
	}
	after, err := base64.RawURLEncoding.DecodeString(in.PaginationToken)
	if err != nil {
		return nil, wire.Errorf("PaginationTokenExpiredException", "The pagination token '%s' is not valid.", in.PaginationToken)
	}
	out := &getResourcesOutput{ResourceTagMappingList: []resource{}}
	for arn, tags := range s.resources(in) {
		if arn > string(after) && in.matches(arn, tags) {
			out.ResourceTagMappingList = append(out.ResourceTagMappingList, resource{arn, tagList(tags)})
		}
	}
	slices.SortFunc(out.ResourceTagMappingList, func(a, b resource) int { return strings.Compare(a.ResourceARN, b.ResourceARN) })
	out.ResourceTagMappingList = slices.CompactFunc(out.ResourceTagMappingList, func(a, b resource) bool { return a.ResourceARN == b.ResourceARN })
	if len(out.ResourceTagMappingList) > size {
		out.ResourceTagMappingList = out.ResourceTagMappingList[:size]
		out.PaginationToken = base64.RawURLEncoding.EncodeToString([]byte(out.ResourceTagMappingList[size-1].ResourceARN))
	}
	return out, nil
}

// check applies the limits and returns the page size.
func (in *getResourcesInput) check() (int, error) {
	invalid := func(format string, args ...any) (int, error) {
		return 0, wire.Errorf("InvalidParameterException", format, args...)
	}
	size := defaultPageSize
	if in.ResourcesPerPage != nil {
		size = *in.ResourcesPerPage
	}
	switch {
	case size < 1 || size > maxPageSize:
		return invalid("ResourcesPerPage is %d; it must be between 1 and %d.", size, maxPageSize)
	case len(in.ResourceARNList) > maxARNs:
		return invalid("ResourceARNList has %d ARNs, more than %d.", len(in.ResourceARNList), maxARNs)
	case len(in.ResourceARNList) > 0 && (len(in.TagFilters) > 0 || len(in.ResourceTypeFilters) > 0 || in.PaginationToken != ""):
		return invalid("ResourceARNList cannot be combined with filters or a pagination token.")
	case len(in.TagFilters) > maxFilters:
		return invalid("TagFilters has %d filters, more than %d.", len(in.TagFilters), maxFilters)
	}
	for _, f := range in.TagFilters {
		if f.Key == "" || len(f.Values) > maxFilterValues {
			return invalid("Every tag filter needs a Key and at most %d Values.", maxFilterValues)
		}
	}
	return size, nil
}

// resources yields what may match a request: everything that has its first tag,
// or is of its types, or is named.
func (s *Service) resources(in *getResourcesInput) iter.Seq2[string, map[string]string] {
	r := s.DB.Current()
	sets := s.candidates(r, in)
	return func(yield func(string, map[string]string) bool) {
		for set := range sets {
			if strings.HasPrefix(set.Resource, "arn:") && !yield(set.Resource, set.Values) {
				return
			}
		}
		if len(in.ResourceTypeFilters) > 0 && !slices.ContainsFunc(in.ResourceTypeFilters, ofEC2) {
			return
		}
		for arn, tags := range s.EC2(r, sets) {
			if !yield(arn, tags) {
				return
			}
		}
	}
}

func ofEC2(filter string) bool { return filter == "ec2" || strings.HasPrefix(filter, "ec2:") }

// candidates are the tag sets that an index or the order of ARNs leaves over.
func (s *Service) candidates(r store.Reader, in *getResourcesInput) iter.Seq[state.TagSet] {
	var parts []iter.Seq[state.TagSet]
	switch {
	case len(in.ResourceARNList) > 0:
		parts = append(parts, named(r, in.ResourceARNList))
	case len(in.TagFilters) > 0 && len(in.TagFilters[0].Values) > 0:
		for _, v := range in.TagFilters[0].Values {
			parts = append(parts, state.TagSetsByTag.All(r, state.TagKey(in.TagFilters[0].Key, v)))
		}
	case len(in.TagFilters) > 0:
		parts = append(parts, state.TagSetsByTag.Prefix(r, state.TagKey(in.TagFilters[0].Key, "")))
	case len(in.ResourceTypeFilters) > 0:
		for _, t := range in.ResourceTypeFilters {
			parts = append(parts, state.TagSets.Prefix(r, s.prefix(t)))
		}
	default:
		parts = append(parts, state.TagSets.All(r))
	}
	return func(yield func(state.TagSet) bool) {
		for _, part := range parts {
			for set := range part {
				if !yield(set) {
					return
				}
			}
		}
	}
}

// prefix is how the keys of a type's tag sets begin: with the ARN, or anyhow for
// EC2's, which go by ID.
func (s *Service) prefix(typeFilter string) string {
	if ofEC2(typeFilter) {
		return ""
	}
	service, kind, _ := strings.Cut(typeFilter, ":")
	return "arn:aws:" + service + ":" + s.Region + ":" + s.AccountID + ":" + kind
}

// named yields the tag sets of some ARNs; those of EC2 lie under the ID, which
// is the last part.
func named(r store.Reader, arns []string) iter.Seq[state.TagSet] {
	return func(yield func(state.TagSet) bool) {
		for _, arn := range arns {
			for _, key := range []string{arn, arn[strings.LastIndex(arn, "/")+1:]} {
				if set, ok := state.TagSets.Get(r, key); ok && !yield(set) {
					return
				}
			}
		}
	}
}

func (in *getResourcesInput) matches(arn string, tags map[string]string) bool {
	if len(tags) == 0 ||
		len(in.ResourceARNList) > 0 && !slices.Contains(in.ResourceARNList, arn) ||
		len(in.ResourceTypeFilters) > 0 && !slices.ContainsFunc(in.ResourceTypeFilters, func(t string) bool { return isOfType(arn, t) }) {
		return false
	}
	for _, f := range in.TagFilters {
		value, ok := tags[f.Key]
		if !ok || len(f.Values) > 0 && !slices.Contains(f.Values, value) {
			return false
		}
	}
	return true
}

// isOfType compares an ARN with a service (ec2) or a service and a type
// (elasticloadbalancing:loadbalancer, elasticloadbalancing:loadbalancer/net).
func isOfType(arn, filter string) bool {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) < 6 {
		return false
	}
	service, kind, specific := strings.Cut(filter, ":")
	return parts[2] == service && (!specific || strings.HasPrefix(parts[5], kind+"/"))
}

func tagList(tags map[string]string) []tag {
	list := make([]tag, 0, len(tags))
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		list = append(list, tag{k, tags[k]})
	}
	return list
}
