package balancing

import (
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/fairlead-lb/fairlead/internal/wire"
)

// Tag is a tag in a request.
type Tag struct{ Key, Value string }

// Bounds of a tag (Tag in the API reference), in characters.
const (
	maxTagKey   = 128
	maxTagValue = 256
)

var tagPattern = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$`)

// NewTags checks the tags of a request, of which a resource may have most.
func NewTags(list []Tag, most int) (map[string]string, error) {
	tags := make(map[string]string, len(list))
	for _, t := range list {
		if err := checkTag(t); err != nil {
			return nil, err
		}
		if _, twice := tags[t.Key]; twice {
			return nil, wire.Errorf("DuplicateTagKeys", "A tag key was specified more than once: '%s'", t.Key)
		}
		tags[t.Key] = t.Value
	}
	return tags, CheckTagCount(tags, most)
}

// CheckTagCount enforces the quota.
func CheckTagCount(tags map[string]string, most int) error {
	if len(tags) > most {
		return TooMany("TooManyTags", "tags for a resource", most)
	}
	return nil
}

func checkTag(t Tag) error {
	switch {
	case t.Key == "":
		return invalid("1 validation error detected: Value '' at 'tags.member.key' failed to satisfy constraint: Member must have length greater than or equal to 1")
	case utf8.RuneCountInString(t.Key) > maxTagKey:
		return invalid("Tag key '%s' cannot be longer than '%d' characters", t.Key, maxTagKey)
	case utf8.RuneCountInString(t.Value) > maxTagValue:
		return invalid("Tag value '%s' cannot be longer than '%d' characters", t.Value, maxTagValue)
	case strings.HasPrefix(strings.ToLower(t.Key), "aws:"):
		return invalid("Tag key '%s' is not valid: the prefix 'aws:' is reserved", t.Key)
	case !tagPattern.MatchString(t.Key):
		return invalid("Tag key '%s' contains characters that are not valid", t.Key)
	case !tagPattern.MatchString(t.Value):
		return invalid("Tag value '%s' contains characters that are not valid", t.Value)
	}
	return nil
}
