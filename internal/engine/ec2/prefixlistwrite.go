package ec2

import (
	"context"
	"net/netip"
	"slices"

	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/store"
	"github.com/fairlead-lb/fairlead/internal/wire"
)

// Bounds of prefix lists (VPC user guide, quotas; API reference).
const (
	maxListEntries     = 1000
	maxEntriesARequest = 100
)

type entryInput struct {
	CIDR        string `ec2:"Cidr,required"`
	Description string `ec2:"Description"`
}

type removedEntry struct {
	CIDR string `ec2:"Cidr,required"`
}

type createManagedPrefixListInput struct {
	DryRun
	Name          string             `ec2:"PrefixListName,required"`
	Entries       []entryInput       `ec2:"Entry"`
	MaxEntries    int32              `ec2:"MaxEntries,required"`
	AddressFamily string             `ec2:"AddressFamily,required"`
	Tags          []tagSpecification `ec2:"TagSpecification"`
}

type prefixListOutput struct {
	List ManagedPrefixList `ec2:"PrefixList"`
}

func (s *Service) createManagedPrefixList(ctx context.Context, in *createManagedPrefixListInput) (*prefixListOutput, error) {
	tags, err := specifiedTags(in.Tags, "prefix-list")
	if err != nil {
		return nil, err
	}
	if err := s.allowMake(ctx, making{"CreateManagedPrefixList", "prefix-list", tags}, in.DryRun); err != nil {
		return nil, err
	}
	if in.AddressFamily != "IPv4" && in.AddressFamily != "IPv6" {
		return nil, invalidValue("Value (%s) for parameter AddressFamily is invalid. Valid values are IPv4 and IPv6.", in.AddressFamily)
	}
	l := state.PrefixList{PrefixListID: newID("pl"), Name: in.Name, IPv6: in.AddressFamily == "IPv6", Version: 1}
	if l, err = resized(l, in.MaxEntries); err == nil {
		l, err = withEntries(l, in.Entries, nil)
	}
	if err != nil {
		return nil, err
	}
	err = s.DB.Update(func(tx *store.Tx) error {
		if err := room(tx, state.PrefixLists, "PrefixListLimitExceeded", "prefix lists"); err != nil {
			return err
		}
		state.PrefixLists.Put(tx, l)
		state.PutTags(tx, l.PrefixListID, tags)
		return nil
	})
	if err != nil {
		return nil, err
	}
	wire.NoteResource(ctx, s.arn("prefix-list", l.PrefixListID))
	return &prefixListOutput{s.prefixList(l, "create-complete", tags)}, nil
}

func resized(l state.PrefixList, size int32) (state.PrefixList, error) {
	switch {
	case size < 1 || size > maxListEntries:
		return l, invalidValue("Value (%d) for parameter MaxEntries is invalid. Expecting a value between 1 and %d.", size, maxListEntries)
	case int(size) < len(l.Entries):
		return l, invalidValue("The prefix list '%s' has %d entries, more than %d.", l.PrefixListID, len(l.Entries), size)
	}
	l.MaxEntries = size
	return l, nil
}

// withEntries returns the list without the removed entries and with the added
// ones. To add one that is there changes its description.
func withEntries(l state.PrefixList, add []entryInput, remove []removedEntry) (state.PrefixList, error) {
	if len(add) > maxEntriesARequest || len(remove) > maxEntriesARequest {
		return l, invalidValue("A request can add and remove %d entries at most.", maxEntriesARequest)
	}
	byCIDR := func(e state.PrefixListEntry, p netip.Prefix) int { return e.CIDR.Compare(p) }
	entries := slices.Clone(l.Entries)
	for _, e := range remove {
		p, err := parseCIDR(e.CIDR, bitsOf(l))
		if err != nil {
			return l, err
		}
		at, found := slices.BinarySearchFunc(entries, p, byCIDR)
		if !found {
			return l, invalidValue("The prefix list '%s' has no entry %s.", l.PrefixListID, p)
		}
		entries = slices.Delete(entries, at, at+1)
	}
	for _, e := range add {
		p, err := parseCIDR(e.CIDR, bitsOf(l))
		if err == nil {
			err = checkDescription(e.Description)
		}
		if err != nil {
			return l, err
		}
		at, found := slices.BinarySearchFunc(entries, p, byCIDR)
		if !found {
			entries = slices.Insert(entries, at, state.PrefixListEntry{CIDR: p})
		}
		entries[at].Description = e.Description
	}
	if len(entries) > int(l.MaxEntries) {
		return l, wire.Errorf("PrefixListMaxEntriesExceeded", "You've reached the maximum number of entries for the prefix list.")
	}
	l.Entries = entries
	return l, nil
}

func bitsOf(l state.PrefixList) int {
	if l.IPv6 {
		return 128
	}
	return 32
}

type modifyManagedPrefixListInput struct {
	DryRun
	ID             string         `ec2:"PrefixListId,required"`
	CurrentVersion *int64         `ec2:"CurrentVersion"`
	Name           *string        `ec2:"PrefixListName"`
	Add            []entryInput   `ec2:"AddEntry"`
	Remove         []removedEntry `ec2:"RemoveEntry"`
	MaxEntries     *int32         `ec2:"MaxEntries"`
}

func (s *Service) modifyManagedPrefixList(ctx context.Context, in *modifyManagedPrefixListInput) (*prefixListOutput, error) {
	if err := s.allowOn(ctx, "ModifyManagedPrefixList", in.DryRun, in.ID); err != nil {
		return nil, err
	}
	var l state.PrefixList
	err := s.DB.Update(func(tx *store.Tx) error {
		var ok bool
		if l, ok = state.PrefixLists.Get(tx, in.ID); !ok {
			return prefixListsNotFound([]string{in.ID})
		}
		var err error
		if l, err = in.apply(l); err != nil {
			return err
		}
		state.PrefixLists.Put(tx, l)
		return checkUsers(tx, l)
	})
	if err != nil {
		return nil, err
	}
	return &prefixListOutput{s.prefixList(l, "modify-complete", state.Tags(s.DB.Current(), in.ID))}, nil
}

func (in *modifyManagedPrefixListInput) apply(l state.PrefixList) (state.PrefixList, error) {
	entries := len(in.Add)+len(in.Remove) > 0
	switch {
	case entries && in.MaxEntries != nil:
		return l, invalidValue("The entries and the size of a prefix list cannot be modified at the same time.")
	case entries && in.CurrentVersion == nil:
		return l, wire.Errorf("MissingParameter", "The request must contain the parameter CurrentVersion")
	case in.CurrentVersion != nil && *in.CurrentVersion != l.Version:
		return l, wire.Errorf("PrefixListVersionMismatch", "The prefix list has the incorrect version number: it is at version %d, not %d.", l.Version, *in.CurrentVersion)
	}
	if in.Name != nil {
		l.Name = *in.Name
	}
	if in.MaxEntries != nil {
		return resized(l, *in.MaxEntries)
	}
	if entries {
		l.Version++
		return withEntries(l, in.Add, in.Remove)
	}
	return l, nil
}

// checkUsers refuses a size that the rules of a group have no room for: a list
// counts with its maximum of entries, whatever it holds (VPC user guide).
func checkUsers(tx *store.Tx, l state.PrefixList) error {
	for _, id := range groupsWith(tx, l.PrefixListID) {
		rules := slices.Collect(state.RulesByGroup.All(tx, id))
		for _, egress := range []bool{false, true} {
			if err := checkQuota(tx, rules, egress); err != nil {
				return invalidValue("The following resources do not support the new maximum size of the prefix list '%s': %s", l.PrefixListID, id)
			}
		}
	}
	return nil
}

type deleteManagedPrefixListInput struct {
	DryRun
	ID string `ec2:"PrefixListId,required"`
}

func (s *Service) deleteManagedPrefixList(ctx context.Context, in *deleteManagedPrefixListInput) (*prefixListOutput, error) {
	if err := s.allowOn(ctx, "DeleteManagedPrefixList", in.DryRun, in.ID); err != nil {
		return nil, err
	}
	var out ManagedPrefixList
	err := s.DB.Update(func(tx *store.Tx) error {
		l, ok := state.PrefixLists.Get(tx, in.ID)
		if !ok {
			return prefixListsNotFound([]string{in.ID})
		}
		if users := groupsWith(tx, in.ID); len(users) > 0 {
			return dependency("The prefix list '%s' is used by the security group '%s' and cannot be deleted.", in.ID, users[0])
		}
		out = s.prefixList(l, "delete-complete", state.Tags(tx, in.ID))
		remove(tx, state.PrefixLists, in.ID)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &prefixListOutput{out}, nil
}
