package intent

import (
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fairlead-lb/fairlead/internal/lb"
)

// Prefixes under which every annotation is known or warned about.
const (
	prefixAWS      = "service.beta.kubernetes.io/aws-load-balancer-"
	prefixFairlead = "fairlead.io/"
	keyRanges      = "service.beta.kubernetes.io/load-balancer-source-ranges"
)

var nameForm = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?$`)

// settings are a Service's annotations, read.
type settings struct {
	kind             string
	targetType       lb.TargetType // "" when not given
	name             string
	scheme           lb.Scheme
	ipAddressType    lb.IPAddressType
	subnets          []string
	groups           []string
	noGroups         bool
	extraGroups      []string // beside the load balancer's own
	manageBackend    bool
	backendGiven     bool
	icmp             bool
	privateLink      bool // inbound rules hold for PrivateLink traffic too
	prefixLists      []string
	tags             map[string]string
	nodeLabels       map[string]string
	nodes            nodeChoice
	sourceRanges     []netip.Prefix
	tcpUDP           bool
	allowReplacement bool
	dryRun           bool
	drift            DriftPolicy

	lbAttributes       map[string]string
	groupAttributes    map[string]string
	portAttributes     map[string]map[string]string // by port number
	listenerAttributes map[string]map[string]string // by PROTO-port
	actions            map[string]action            // by PROTO-port
	sharedGroups       bool                         // others register targets too

	proxyAll   bool
	proxyPorts []string // nil when not given
	health     healthSettings
	tls        tlsSettings
	addresses  addressSettings
	capacity   int32 // reserved load balancer capacity units
}

// healthSettings are the health check annotations; zero values are not given.
type healthSettings struct {
	protocol           lb.Protocol
	port               string
	path               string
	codes              string
	interval, timeout  time.Duration
	healthy, unhealthy int
}

// parser reads the value of one annotation.
type parser struct {
	kind     lb.LoadBalancerType // that the annotations are for
	key      string
	suffix   string // of a key that continues with a port, what comes after the dot
	value    string
	problems *[]Problem
}

func (p parser) bad(why, hint string) {
	*p.problems = append(*p.problems, Problem{Error, p.key, p.value, why, hint})
}

func (p parser) note(why, hint string) {
	*p.problems = append(*p.problems, Problem{Warning, p.key, p.value, why, hint})
}

// parse reads all annotations. Keys under our prefixes that are not in the
// table are warned about, with the nearest that is.
func parse(annotations map[string]string, d Defaults, kind lb.LoadBalancerType) (settings, []Problem) {
	s := newSettings(d)
	var problems []Problem
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		p := parser{kind: kind, key: key, value: strings.TrimSpace(annotations[key]), problems: &problems}
		p.read(&s)
	}
	if s.kind == "nlb-ip" && s.targetType == "" {
		s.targetType = lb.IPTarget
	}
	return s, problems
}

func newSettings(d Defaults) settings {
	return settings{
		scheme: d.Scheme, ipAddressType: lb.IPv4, manageBackend: true, icmp: true, privateLink: true, tcpUDP: true, drift: RepairDrift,
		lbAttributes: map[string]string{}, portAttributes: map[string]map[string]string{},
		listenerAttributes: map[string]map[string]string{}, actions: map[string]action{},
	}
}

func (p parser) read(s *settings) {
	a, suffix, known := find(p.key)
	switch {
	case known && a.internal:
	case known && !a.Kinds.have(p.kind):
		p.note("has no effect on "+kindName(p.kind), a.useInstead())
	case known && a.refused != "":
		p.bad(a.refused, a.instead)
	case known:
		p.suffix = suffix
		a.read(p, s)
	case strings.HasPrefix(p.key, prefixAWS), strings.HasPrefix(p.key, prefixFairlead):
		p.note("is not an annotation that is known here; it has no effect", didYouMean(p.key, keys()))
	}
}

// reader reads a value into settings.
type reader func(p parser, s *settings)

func enum[T ~string](field func(*settings) *T, values ...T) reader {
	return func(p parser, s *settings) {
		for _, v := range values {
			if strings.EqualFold(string(v), p.value) {
				*field(s) = v
				return
			}
		}
		words := make([]string, len(values))
		for i, v := range values {
			words[i] = string(v)
		}
		p.bad("must be "+oneOf(words), didYouMean(p.value, words))
	}
}

func boolean(set func(*settings, bool)) reader {
	return func(p parser, s *settings) {
		v, err := strconv.ParseBool(p.value)
		if err != nil {
			p.bad("must be true or false", didYouMean(p.value, []string{"true", "false"}))
			return
		}
		set(s, v)
	}
}

func onOff(set func(*settings, bool)) reader {
	return func(p parser, s *settings) {
		if p.value != "on" && p.value != "off" {
			p.bad("must be on or off", "")
			return
		}
		set(s, p.value == "on")
	}
}

func number(low, high int, set func(*settings, int)) reader {
	return func(p parser, s *settings) {
		n, err := strconv.Atoi(p.value)
		if err != nil || n < low || n > high {
			p.bad(fmt.Sprintf("must be a whole number from %d to %d", low, high), "")
			return
		}
		set(s, n)
	}
}

func text(set func(*settings, string)) reader {
	return func(p parser, s *settings) {
		if p.value == "" {
			p.bad("must not be empty", "remove it to get the default")
			return
		}
		set(s, p.value)
	}
}

func list(set func(p parser, s *settings, items []string)) reader {
	return func(p parser, s *settings) {
		items := split(p.value)
		if len(items) == 0 {
			p.bad("must name at least one, separated by commas", "")
			return
		}
		set(p, s, items)
	}
}

// mapping reads key=value pairs; a comma inside a value is written \,
func mapping(set func(p parser, s *settings, m map[string]string)) reader {
	return func(p parser, s *settings) {
		m := map[string]string{}
		for _, pair := range splitEscaped(p.value) {
			k, v, ok := strings.Cut(pair, "=")
			if k = strings.TrimSpace(k); !ok || k == "" {
				p.bad(fmt.Sprintf("%q is not of the form key=value", pair), "separate pairs by commas")
				continue
			}
			m[k] = strings.TrimSpace(v)
		}
		set(p, s, m)
	}
}

func split(s string) []string {
	var out []string
	for item := range strings.SplitSeq(s, ",") {
		if item = strings.TrimSpace(item); item != "" {
			out = append(out, item)
		}
	}
	return out
}

func splitEscaped(s string) []string {
	var out []string
	for item := range strings.SplitSeq(strings.ReplaceAll(s, `\,`, "\x00"), ",") {
		if item = strings.TrimSpace(item); item != "" {
			out = append(out, strings.ReplaceAll(item, "\x00", ","))
		}
	}
	return out
}

// oneOf is "a, b or c".
func oneOf(words []string) string {
	if len(words) == 1 {
		return words[0]
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

// parsePrefix reads a CIDR block. One with bits beyond its length is refused,
// as EC2 would silently take another one.
func parsePrefix(s string) (netip.Prefix, string) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		if a, err := netip.ParseAddr(s); err == nil {
			return netip.Prefix{}, fmt.Sprintf("did you mean %q?", netip.PrefixFrom(a, a.BitLen()))
		}
		return netip.Prefix{}, "write it as 203.0.113.0/24 or 2001:db8::/32"
	}
	if p != p.Masked() {
		return netip.Prefix{}, fmt.Sprintf("did you mean %q?", p.Masked())
	}
	return p, ""
}

func ranges(p parser, s *settings) {
	for _, item := range split(p.value) {
		prefix, hint := parsePrefix(item)
		if hint != "" {
			p.bad(fmt.Sprintf("%q is not a CIDR block", item), hint)
			continue
		}
		s.sourceRanges = append(s.sourceRanges, prefix)
	}
}
