package ec2

import (
	"context"
	"encoding/base64"
	"net/netip"
	"slices"
	"strconv"

	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/store"
)

// ManagedPrefixList is a prefix list in responses.
type ManagedPrefixList struct {
	ID            string `ec2:"PrefixListId"`
	AddressFamily string `ec2:"AddressFamily"`
	State         string `ec2:"State"`
	ARN           string `ec2:"PrefixListArn"`
	Name          string `ec2:"PrefixListName"`
	MaxEntries    int32  `ec2:"MaxEntries"`
	Version       int64  `ec2:"Version"`
	Tags          []Tag  `ec2:"TagSet"`
	OwnerID       string `ec2:"OwnerId"`
}

// State says what was done last: changes here are done at once.
func (s *Service) prefixList(l state.PrefixList, last string, tags map[string]string) ManagedPrefixList {
	return ManagedPrefixList{
		ID: l.PrefixListID, AddressFamily: family(l.IPv6), State: last, ARN: s.arn("prefix-list", l.PrefixListID), Name: l.Name,
		MaxEntries: l.MaxEntries, Version: l.Version, Tags: tagSet(tags), OwnerID: s.AccountID,
	}
}

// lastDone is the state of a list that nothing happens to.
func lastDone(l state.PrefixList) string {
	if l.Version > 1 {
		return "modify-complete"
	}
	return "create-complete"
}

func family(ipv6 bool) string {
	if ipv6 {
		return "IPv6"
	}
	return "IPv4"
}

var prefixListsNotFound = notFound("InvalidPrefixListID.NotFound", "prefix list")

type describeManagedPrefixListsInput struct {
	Query
	IDs []string `ec2:"PrefixListId"`
}

type describeManagedPrefixListsOutput struct {
	Lists     []ManagedPrefixList `ec2:"PrefixListSet"`
	NextToken *string             `ec2:"NextToken"`
}

func (s *Service) describeManagedPrefixLists(ctx context.Context, in *describeManagedPrefixListsInput) (*describeManagedPrefixListsOutput, error) {
	if err := s.allowRead(ctx, "DescribeManagedPrefixLists", in.DryRun); err != nil {
		return nil, err
	}
	r := s.DB.Current()
	k := kind[state.PrefixList]{
		id: func(l state.PrefixList) string { return l.PrefixListID }, idFilter: "prefix-list-id", absent: prefixListsNotFound,
		tags: func(l state.PrefixList) map[string]string { return state.Tags(r, l.PrefixListID) },
		attributes: attributes[state.PrefixList]{
			"prefix-list-id":   func(l state.PrefixList) []string { return []string{l.PrefixListID} },
			"prefix-list-name": func(l state.PrefixList) []string { return []string{l.Name} },
			"owner-id":         func(state.PrefixList) []string { return []string{s.AccountID} },
		},
	}
	get := func(id string) (state.PrefixList, bool) { return state.PrefixLists.Get(r, id) }
	found, next, err := k.find(source[state.PrefixList]{get, state.PrefixLists.All(r)}, in.IDs, in.Query)
	if err != nil {
		return nil, err
	}
	return &describeManagedPrefixListsOutput{convert(found, func(l state.PrefixList) ManagedPrefixList {
		return s.prefixList(l, lastDone(l), k.tags(l))
	}), token(next)}, nil
}

type prefixListEntry struct {
	CIDR        netip.Prefix `ec2:"Cidr"`
	Description string       `ec2:"Description,omitempty"`
}

type getManagedPrefixListEntriesInput struct {
	DryRun
	ID            string `ec2:"PrefixListId,required"`
	TargetVersion *int64 `ec2:"TargetVersion"`
	MaxResults    *int32 `ec2:"MaxResults"`
	NextToken     string `ec2:"NextToken"`
}

type getManagedPrefixListEntriesOutput struct {
	Entries   []prefixListEntry `ec2:"EntrySet"`
	NextToken *string           `ec2:"NextToken"`
}

// maxEntryResults is EC2's bound for the entries of one answer.
const maxEntryResults = 100

func (s *Service) getManagedPrefixListEntries(ctx context.Context, in *getManagedPrefixListEntriesInput) (*getManagedPrefixListEntriesOutput, error) {
	l, err := s.readPrefixList(ctx, "GetManagedPrefixListEntries", in.DryRun, in.ID)
	if err != nil {
		return nil, err
	}
	if in.TargetVersion != nil && *in.TargetVersion != l.Version {
		return nil, invalidValue("The prefix list '%s' is kept in its version %d alone; version %d is not there.", in.ID, l.Version, *in.TargetVersion)
	}
	from, size := 0, len(l.Entries)
	if in.MaxResults != nil {
		if size = int(*in.MaxResults); size < 1 || size > maxEntryResults {
			return nil, invalidValue("Value ( %d ) for parameter maxResults is invalid. Expecting a value between 1 and %d.", size, maxEntryResults)
		}
	}
	if in.NextToken != "" {
		after, err := base64.RawURLEncoding.DecodeString(in.NextToken)
		if from, _ = strconv.Atoi(string(after)); err != nil || from < 1 || from > len(l.Entries) {
			return nil, invalidValue("Unable to parse pagination token")
		}
	}
	to := min(from+size, len(l.Entries))
	out := &getManagedPrefixListEntriesOutput{Entries: convert(l.Entries[from:to], func(e state.PrefixListEntry) prefixListEntry {
		return prefixListEntry{e.CIDR, e.Description}
	})}
	if to < len(l.Entries) {
		out.NextToken = token(base64.RawURLEncoding.EncodeToString([]byte(strconv.Itoa(to))))
	}
	return out, nil
}

// readPrefixList finds a list for somebody who may read it.
func (s *Service) readPrefixList(ctx context.Context, action string, d DryRun, id string) (state.PrefixList, error) {
	if err := s.allowOn(ctx, action, d, id); err != nil {
		return state.PrefixList{}, err
	}
	l, ok := state.PrefixLists.Get(s.DB.Current(), id)
	if !ok {
		return l, prefixListsNotFound([]string{id})
	}
	return l, nil
}

type getManagedPrefixListAssociationsInput struct {
	DryRun
	ID string `ec2:"PrefixListId,required"`
}

type getManagedPrefixListAssociationsOutput struct {
	Associations []prefixListAssociation `ec2:"PrefixListAssociationSet"`
}

type prefixListAssociation struct {
	ResourceID    string `ec2:"ResourceId"`
	ResourceOwner string `ec2:"ResourceOwner"`
}

func (s *Service) getManagedPrefixListAssociations(ctx context.Context, in *getManagedPrefixListAssociationsInput) (*getManagedPrefixListAssociationsOutput, error) {
	if _, err := s.readPrefixList(ctx, "GetManagedPrefixListAssociations", in.DryRun, in.ID); err != nil {
		return nil, err
	}
	return &getManagedPrefixListAssociationsOutput{convert(groupsWith(s.DB.Current(), in.ID), func(id string) prefixListAssociation {
		return prefixListAssociation{id, s.AccountID}
	})}, nil
}

// groupsWith are the IDs of the security groups whose rules refer to a list.
func groupsWith(r store.Reader, prefixListID string) []string {
	var ids []string
	for rule := range state.RulesByPrefixList.All(r, prefixListID) {
		ids = append(ids, rule.GroupID)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}
