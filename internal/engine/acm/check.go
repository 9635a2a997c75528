package acm

import (
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/fairlead-lb/fairlead/internal/wire"
)

// arnPattern is that of a certificate in the API reference.
var arnPattern = regexp.MustCompile(`^arn:[\w+=/,.@-]+:acm:[\w+=/,.@-]*:[0-9]+:[\w+=,.@-]+(/[\w+=,.@-]+)*$`)

func (s *Service) checkARN(arn string) error {
	if arn == "" {
		return wire.ValidationErrorf("1 validation error detected: Value null at 'certificateArn' failed to satisfy constraint: Member must not be null")
	}
	if !arnPattern.MatchString(arn) {
		return wire.Errorf("InvalidArnException", "Arn must be of a certificate, not '%s'.", arn)
	}
	return nil
}

// Rules of RequestCertificate's reference and quotas.
const (
	maxDomainLength = 253
	maxLabelLength  = 63
	maxNames        = 10
)

var domainPattern = regexp.MustCompile(`^(\*\.)?([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$`)

// validDomain counts by itself: lengths in the pattern take ten times its memory.
func validDomain(name string) bool {
	long := func(label string) bool { return len(label) > maxLabelLength }
	return len(name) <= maxDomainLength && domainPattern.MatchString(name) && !slices.ContainsFunc(strings.Split(name, "."), long)
}

// checkNames returns the names of a certificate in lower case, the domain first.
func checkNames(domain string, alternatives []string) ([]string, error) {
	var names []string
	for _, name := range append([]string{domain}, alternatives...) {
		switch {
		case name == "":
			return nil, wire.ValidationErrorf("1 validation error detected: Value null at 'domainName' failed to satisfy constraint: Member must not be null")
		case !validDomain(name):
			return nil, wire.Errorf("InvalidDomainValidationOptionsException", "'%s' is not a domain name such as www.example.com or *.example.com.", name)
		}
		if name = strings.ToLower(name); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if len(names) > maxNames {
		return nil, wire.Errorf("LimitExceededException", "Error: you have exceeded the maximum number of domain names, %d, in a certificate.", maxNames)
	}
	return names, nil
}

// tag is a tag in requests and responses.
type tag struct {
	Key   string
	Value string `json:",omitempty"`
}

// Limits of tags (ACM API reference, Tag).
const (
	maxTags     = 50
	maxTagKey   = 128 // characters
	maxTagValue = 256
)

// merge adds tags to those that a certificate has.
func merge(tags map[string]string, add []tag) error {
	for _, t := range add {
		switch {
		case t.Key == "" || utf8.RuneCountInString(t.Key) > maxTagKey || utf8.RuneCountInString(t.Value) > maxTagValue:
			return wire.Errorf("InvalidTagException", "A tag needs a key of 1 to %d characters and a value of at most %d.", maxTagKey, maxTagValue)
		case strings.HasPrefix(strings.ToLower(t.Key), "aws:"):
			return wire.Errorf("InvalidTagException", "Tag keys must not begin with 'aws:', as '%s' does.", t.Key)
		}
		tags[t.Key] = t.Value
	}
	if len(tags) > maxTags {
		return wire.Errorf("TooManyTagsException", "A certificate can have at most %d tags.", maxTags)
	}
	return nil
}

func requestTags(tags []tag) map[string][]string {
	keys := map[string][]string{}
	for _, t := range tags {
		keys["aws:RequestTag/"+t.Key] = []string{t.Value}
		keys["aws:TagKeys"] = append(keys["aws:TagKeys"], t.Key)
	}
	slices.Sort(keys["aws:TagKeys"])
	return keys
}
