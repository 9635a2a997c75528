package ec2

import (
	"context"
	"iter"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/inventory"
	"github.com/fairlead-lb/fairlead/internal/store"
	"github.com/fairlead-lb/fairlead/internal/wire"
)

// Limits of tags (EC2 user guide, tag restrictions).
const (
	maxTags       = 50
	maxKeyLength  = 128 // characters
	maxTextLength = 256
)

// tagSpecification is tags for what a create makes.
type tagSpecification struct {
	ResourceType string `ec2:"ResourceType"`
	Tags         []Tag  `ec2:"Tag"`
}

// specifiedTags are the tags for a kind of resource.
func specifiedTags(specs []tagSpecification, kind string) (map[string]string, error) {
	tags := map[string]string{}
	for _, spec := range specs {
		if spec.ResourceType != kind {
			return nil, invalidValue("'%s' is not a valid taggable resource type for this operation.", spec.ResourceType)
		}
		for _, t := range spec.Tags {
			if _, twice := tags[t.Key]; twice {
				return nil, invalidValue("Duplicate tag key '%s' specified.", t.Key)
			}
			tags[t.Key] = t.Value
		}
	}
	return tags, checkTags(tags)
}

func checkTags(tags map[string]string) error {
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		switch {
		case k == "":
			return invalidValue("Tag keys must not be empty")
		case strings.HasPrefix(strings.ToLower(k), "aws:"):
			return invalidValue("Tag keys starting with 'aws:' are reserved for internal use")
		case utf8.RuneCountInString(k) > maxKeyLength:
			return invalidValue("Tag key exceeds the maximum length of %d characters", maxKeyLength)
		case utf8.RuneCountInString(tags[k]) > maxTextLength:
			return invalidValue("Tag value exceeds the maximum length of %d characters", maxTextLength)
		}
	}
	return checkTagCount(tags)
}

func checkTagCount(tags map[string]string) error {
	if len(tags) > maxTags {
		return wire.Errorf("TagLimitExceeded", "The maximum number of Tags for a resource has been reached.")
	}
	return nil
}

// taggable is a resource that can have tags.
type taggable struct {
	id       string
	kind     string // as in ARNs, such as security-group
	fileTags map[string]string
}

// taggableKinds by the prefix of their IDs: how to find one, and the error for
// those that are not there.
var taggableKinds = map[string]struct {
	kind   string
	find   func(n *network, r store.Reader, id string) (fileTags map[string]string, ok bool)
	absent func(ids []string) error
}{
	"vpc-": {"vpc", func(n *network, _ store.Reader, id string) (map[string]string, bool) {
		v, ok := n.VPC(id)
		return v.Tags, ok
	}, notFound("InvalidVpcID.NotFound", "vpc")},
	"subnet-": {"subnet", func(n *network, _ store.Reader, id string) (map[string]string, bool) {
		v, ok := n.Subnet(id)
		return v.Tags, ok
	}, notFound("InvalidSubnetID.NotFound", "subnet")},
	"i-": {"instance", func(n *network, _ store.Reader, id string) (map[string]string, bool) {
		v, ok := n.Instance(id)
		return v.Tags, ok
	}, notFound("InvalidInstanceID.NotFound", "instance")},
	"sg-": {"security-group", func(n *network, r store.Reader, id string) (map[string]string, bool) {
		g, ok := n.group(r, id)
		return g.fileTags, ok
	}, groupsNotFound},
	"sgr-": {"security-group-rule", func(_ *network, r store.Reader, id string) (map[string]string, bool) {
		_, ok := state.SecurityGroupRules.Get(r, id)
		return nil, ok
	}, rulesNotFound},
	"pl-": {"prefix-list", func(_ *network, r store.Reader, id string) (map[string]string, bool) {
		_, ok := state.PrefixLists.Get(r, id)
		return nil, ok
	}, prefixListsNotFound},
	"eni-": {"network-interface", func(n *network, r store.Reader, id string) (map[string]string, bool) {
		_, ok := n.nicByID(r, id)
		return nil, ok
	}, notFound("InvalidNetworkInterfaceID.NotFound", "networkInterface")},
	"eipalloc-": {"elastic-ip", func(_ *network, r store.Reader, id string) (map[string]string, bool) {
		_, ok := state.ElasticAddresses.Get(r, id)
		return nil, ok
	}, notFound("InvalidAllocationID.NotFound", "allocation")},
	"rtb-": {"route-table", func(n *network, r store.Reader, id string) (map[string]string, bool) {
		if _, ok := state.RouteTables.Get(r, id); ok {
			return nil, true
		}
		return nil, slices.ContainsFunc(n.VPCs, func(v inventory.VPC) bool {
			return !v.Made && (id == derivedID("rtb", v.VPCID, "main") || id == derivedID("rtb", v.VPCID, "public") && hasPublicSubnet(n, v.VPCID))
		})
	}, notFound("InvalidRouteTableID.NotFound", "routeTable")},
	"acl-": {"network-acl", func(n *network, _ store.Reader, id string) (map[string]string, bool) {
		return nil, slices.ContainsFunc(n.VPCs, func(v inventory.VPC) bool { return id == aclID(v.VPCID) })
	}, notFound("InvalidNetworkAclID.NotFound", "networkAcl")},
	"igw-": {"internet-gateway", func(n *network, r store.Reader, id string) (map[string]string, bool) {
		if _, ok := state.InternetGateways.Get(r, id); ok {
			return nil, true
		}
		return nil, slices.ContainsFunc(n.VPCs, func(v inventory.VPC) bool { return id == n.gatewayID(v.VPCID) })
	}, notFound("InvalidInternetGatewayID.NotFound", "internetGateway")},
}

func (n *network) taggable(r store.Reader, id string) (taggable, error) {
	prefix, _, _ := strings.Cut(id, "-")
	k, known := taggableKinds[prefix+"-"]
	if !known {
		return taggable{}, wire.Errorf("InvalidID", "The ID '%s' is not valid", id)
	}
	fileTags, ok := k.find(n, r, id)
	if !ok {
		return taggable{}, k.absent([]string{id})
	}
	return taggable{id, k.kind, fileTags}, nil
}

type createTagsInput struct {
	DryRun
	Resources []string `ec2:"ResourceId,required"`
	Tags      []Tag    `ec2:"Tag,required"`
}

type noOutput struct{}

func (s *Service) createTags(ctx context.Context, in *createTagsInput) (*noOutput, error) {
	tags, err := specifiedTags([]tagSpecification{{Tags: in.Tags}}, "")
	if err != nil {
		return nil, err
	}
	if err := s.allowTags(ctx, "CreateTags", in.Resources, tags); err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	return nil, s.updateTags(in.Resources, func(t taggable, own map[string]string) error {
		maps.Copy(own, tags)
		all := maps.Clone(t.fileTags)
		if all == nil {
			all = map[string]string{}
		}
		maps.Copy(all, own)
		return checkTagCount(all)
	})
}

// allowTags asks for an action on each of the resources.
func (s *Service) allowTags(ctx context.Context, action string, ids []string, tags map[string]string) error {
	n, r := s.network(), s.DB.Current()
	for _, id := range ids {
		t, err := n.taggable(r, id)
		if err != nil {
			return err
		}
		if err := s.allow(ctx, action, s.arn(t.kind, t.id), requestTags(tags), resourceTags(tagsOf(r, t.id, t.fileTags))); err != nil {
			return err
		}
	}
	return nil
}

// updateTags changes the tags that resources have through the API.
func (s *Service) updateTags(ids []string, change func(t taggable, own map[string]string) error) error {
	n := s.network()
	return s.DB.Update(func(tx *store.Tx) error {
		for _, id := range ids {
			t, err := n.taggable(tx, id)
			if err != nil {
				return err
			}
			own := state.Tags(tx, id)
			if err := change(t, own); err != nil {
				return err
			}
			state.PutTags(tx, id, own)
		}
		return nil
	})
}

type deleteTagsInput struct {
	DryRun
	Resources []string    `ec2:"ResourceId,required"`
	Tags      []deleteTag `ec2:"Tag"`
}

// deleteTag names a tag; with a value only when it has that value.
type deleteTag struct {
	Key   string  `ec2:"Key,required"`
	Value *string `ec2:"Value"`
}

func (s *Service) deleteTags(ctx context.Context, in *deleteTagsInput) (*noOutput, error) {
	tags := map[string]string{}
	for _, t := range in.Tags {
		tags[t.Key] = ""
		if t.Value != nil {
			tags[t.Key] = *t.Value
		}
	}
	if err := s.allowTags(ctx, "DeleteTags", in.Resources, tags); err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	return nil, s.updateTags(in.Resources, func(t taggable, own map[string]string) error {
		if len(in.Tags) == 0 {
			clear(own)
		}
		for _, d := range in.Tags {
			if d.Value == nil || own[d.Key] == *d.Value {
				delete(own, d.Key)
			}
			if v, ok := t.fileTags[d.Key]; ok && (d.Value == nil || v == *d.Value) {
				return wire.Errorf("OperationNotPermitted", "The tag '%s' of '%s' stands in the inventory file and can only be removed there.", d.Key, t.id)
			}
		}
		return nil
	})
}

type describeTagsInput struct{ Query }

type describeTagsOutput struct {
	Tags      []TagDescription `ec2:"TagSet"`
	NextToken *string          `ec2:"NextToken"`
}

// TagDescription is a tag with its resource.
type TagDescription struct {
	ResourceID   string `ec2:"ResourceId"`
	ResourceType string `ec2:"ResourceType"`
	Key          string `ec2:"Key"`
	Value        string `ec2:"Value"`
}

var tagKind = kind[TagDescription]{
	id: func(t TagDescription) string { return t.ResourceID + "\x00" + t.Key },
	attributes: attributes[TagDescription]{
		"key":           func(t TagDescription) []string { return []string{t.Key} },
		"value":         func(t TagDescription) []string { return []string{t.Value} },
		"resource-id":   func(t TagDescription) []string { return []string{t.ResourceID} },
		"resource-type": func(t TagDescription) []string { return []string{t.ResourceType} },
	},
	tags: func(t TagDescription) map[string]string { return map[string]string{t.Key: t.Value} },
}

func (s *Service) describeTags(ctx context.Context, in *describeTagsInput) (*describeTagsOutput, error) {
	if err := s.allowRead(ctx, "DescribeTags", in.DryRun); err != nil {
		return nil, err
	}
	n, r := s.network(), s.DB.Current()
	ids := n.tagged(state.TagSets.From(r, afterARNs))
	if named, ok := literals(in.Filters, "resource-id"); ok {
		ids = slices.Values(named)
	}
	all := func(yield func(TagDescription) bool) {
		for id := range ids {
			t, err := n.taggable(r, id)
			if err != nil { // not EC2's, or gone
				continue
			}
			for k, v := range tagsOf(r, id, t.fileTags) {
				if !yield(TagDescription{id, t.kind, k, v}) {
					return
				}
			}
		}
	}
	found, next, err := tagKind.find(source[TagDescription]{all: all}, nil, in.Query)
	if err != nil {
		return nil, err
	}
	return &describeTagsOutput{found, token(next)}, nil
}

// afterARNs is the key where tags of ELB's resources, which go by ARN, are past.
const afterARNs = "arn;"

// tagged yields the IDs of resources that may have tags: those of the inventory,
// and of the sets those that go by ID; some twice.
func (n *network) tagged(sets iter.Seq[state.TagSet]) iter.Seq[string] {
	return func(yield func(string) bool) {
		var ids []string
		for _, v := range n.VPCs {
			ids = append(ids, v.VPCID)
		}
		for _, v := range n.Subnets {
			ids = append(ids, v.SubnetID)
		}
		for _, v := range n.Instances {
			ids = append(ids, v.InstanceID)
		}
		for _, v := range n.SecurityGroups {
			ids = append(ids, v.GroupID)
		}
		for t := range sets {
			if !strings.HasPrefix(t.Resource, "arn:") {
				ids = append(ids, t.Resource)
			}
		}
		for _, id := range ids {
			if !yield(id) {
				return
			}
		}
	}
}

// Tagged yields the ARNs and tags of resources that have any: those of the
// inventory, and those of the sets.
func (s *Service) Tagged(r store.Reader, sets iter.Seq[state.TagSet]) iter.Seq2[string, map[string]string] {
	n := s.network()
	return func(yield func(string, map[string]string) bool) {
		seen := map[string]bool{}
		for id := range n.tagged(sets) {
			t, err := n.taggable(r, id)
			if err != nil || seen[id] { // gone, or tagged in the file and through the API
				continue
			}
			seen[id] = true
			if tags := tagsOf(r, id, t.fileTags); len(tags) > 0 && !yield(s.arn(t.kind, id), tags) {
				return
			}
		}
	}
}
