package attributes

import (
	"net"
	"regexp"
	"strings"
	"time"

	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/lb"
)

var (
	// Amazon S3 user guide, general purpose bucket naming rules.
	bucketNames = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]+[a-z0-9]$`)
	// What AWS lets a prefix consist of; parts that are no more than dots would
	// lead edges that deliver to a directory out of it.
	prefixes  = regexp.MustCompile(`^[A-Za-z0-9._/-]*$`)
	dotsAlone = regexp.MustCompile(`(^|/)\.{0,2}(/|$)`)
)

// logsAt is what AWS puts below the prefix itself.
const logsAt = "AWSLogs"

func bucket(_ state.LoadBalancer, key, value string) error {
	switch {
	case value == "":
		return invalid("The value of '%s' cannot be empty", key)
	case len(value) > 63 || !bucketNames.MatchString(value) || strings.Contains(value, "..") || net.ParseIP(value) != nil:
		return invalid("The value of '%s' is not a valid bucket name: '%s'", key, value)
	}
	return nil
}

func prefix(b state.LoadBalancer, key, value string) error {
	switch {
	case value == "":
		return nil
	case strings.HasPrefix(value, "/") || strings.HasSuffix(value, "/"):
		return invalid("The value of '%s' cannot start or end with '/'", key)
	case !prefixes.MatchString(value) || dotsAlone.MatchString(value):
		return invalid("The value of '%s' can only consist of letters, numbers, '.', '-', '_' and '/' between names: '%s'", key, value)
	case strings.Contains(value, logsAt):
		return invalid("The value of '%s' cannot contain '%s'", key, logsAt)
	}
	return text[state.LoadBalancer](1024)(b, key, value)
}

// hasBucket refuses access logs without a bucket.
func hasBucket(t table[state.LoadBalancer], b state.LoadBalancer, merged map[string]string) error {
	b.Attributes = merged
	if t.get(b, lb.AttrAccessLogsEnabled) == "true" && t.get(b, lb.AttrAccessLogsBucket) == "" {
		return invalid("The value of '%s' cannot be empty", lb.AttrAccessLogsBucket)
	}
	return nil
}

// logInterval is how often access logs are delivered (NLB user guide, access log
// files).
const logInterval = 5 * time.Minute

// AccessLog is where a load balancer's access log goes; nil when none is kept.
func AccessLog(b state.LoadBalancer) *lb.AccessLog {
	if balancers.get(b, lb.AttrAccessLogsEnabled) != "true" {
		return nil
	}
	return &lb.AccessLog{Bucket: balancers.get(b, lb.AttrAccessLogsBucket), Prefix: balancers.get(b, lb.AttrAccessLogsPrefix), Interval: logInterval}
}
