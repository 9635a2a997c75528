package intent

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/fairlead-lb/fairlead/internal/lb"
)

// keyActions, continued by a listener's protocol and port, has that listener
// share its connections among several target groups. The JSON is that of the
// AWS Load Balancer Controller.
const keyActions = shortened + "actions"

// maxWeight is the largest weight of a target group (ELBv2, TargetGroupTuple).
const maxWeight = 999

// action is a forward action as it is written.
type action struct {
	Type          string `json:"type"`
	ForwardConfig *struct {
		BaseServiceWeight           *int            `json:"baseServiceWeight"`
		TargetGroups                []forwardTarget `json:"targetGroups"`
		TargetGroupStickinessConfig struct {
			Enabled         bool `json:"enabled"`
			DurationSeconds *int `json:"durationSeconds"`
		} `json:"targetGroupStickinessConfig"`
	} `json:"forwardConfig"`
}

// forwardTarget is a target group beside the Service's own: that of another
// Service, or one that someone else made.
type forwardTarget struct {
	ServiceName     string             `json:"serviceName"`
	ServicePort     intstr.IntOrString `json:"servicePort"`
	TargetGroupARN  string             `json:"targetGroupARN"`
	TargetGroupName string             `json:"targetGroupName"`
	Decrypt         *bool              `json:"decrypt"`
	Weight          *int               `json:"weight"`
}

// text names what the target is, for people.
func (t forwardTarget) text() string {
	switch {
	case t.ServiceName != "":
		return t.ServiceName + ":" + t.ServicePort.String()
	case t.TargetGroupARN != "":
		return t.TargetGroupARN
	}
	return t.TargetGroupName
}

// names is how many target groups the target means.
func (t forwardTarget) names() (n int) {
	for _, name := range []string{t.ServiceName, t.TargetGroupARN, t.TargetGroupName} {
		if name != "" {
			n++
		}
	}
	return n
}

// actionsRow is the annotation that shares connections among target groups.
func actionsRow() Annotation {
	return Annotation{
		Key: keyActions, Ported: true, Suffix: "PROTOCOL-PORT", Kinds: forNLB,
		Value:  "JSON of a forward action: the listener's new connections are shared by weights among the Service's own target group, those of other Services of the namespace, and groups that others made ([how](../controller.md#several-target-groups))",
		Change: "weights are changed in place; a target group that joins waits until it is healthy", Default: "the Service's own target group gets all",
		Example: `{"type":"forward","forwardConfig":{"baseServiceWeight":90,"targetGroups":[{"serviceName":"canary","servicePort":80,"weight":10}]}}`,
		read:    readAction,
	}
}

// at is the parser of a part of the value.
func (p parser) at(path, value string) parser {
	p.key, p.value = p.key+" "+path, value
	return p
}

func readAction(p parser, s *settings) {
	var a action
	if err := json.Unmarshal([]byte(p.value), &a); err != nil {
		p.bad(jsonReason(err), `write it as {"type":"forward","forwardConfig":{…}}`)
		return
	}
	p.noteUnknown()
	if a.Type != "forward" {
		p.at("type", a.Type).bad("must be forward: a Network Load Balancer knows no other action", "")
	}
	if a.ForwardConfig == nil {
		p.at("forwardConfig", "").bad("is missing", "name baseServiceWeight and targetGroups in it")
		return
	}
	p.checkForward(a)
	s.actions[strings.ToUpper(p.suffix)] = a
}

// jsonReason says what is wrong with JSON, without words about Go.
func jsonReason(err error) string {
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Sprintf("%s is a JSON %s, want %s", orDefault(wrong.Field, "the value"), wrong.Value, jsonKind(wrong.Type.Kind().String()))
	}
	return "is not JSON: " + err.Error()
}

func jsonKind(kind string) string {
	return map[string]string{"int": "a whole number", "bool": "true or false", "string": "a string", "slice": "a list", "struct": "an object"}[kind]
}

func (p parser) checkForward(a action) {
	config := a.ForwardConfig
	if n := len(config.TargetGroups); n >= lb.MaxForward {
		p.at("forwardConfig.targetGroups", strconv.Itoa(n)).bad(fmt.Sprintf("has too many groups: with the Service's own there may be %d", lb.MaxForward), "")
	}
	several, total := len(config.TargetGroups) > 0, 0
	total += p.checkWeight("forwardConfig.baseServiceWeight", config.BaseServiceWeight, several)
	for i, t := range config.TargetGroups {
		path := fmt.Sprintf("forwardConfig.targetGroups[%d]", i)
		total += p.checkWeight(path+".weight", t.Weight, several)
		p.checkTarget(path, t)
	}
	if several && total == 0 {
		p.at("forwardConfig", "").note("all weights are 0: no target group gets new connections", "")
	}
	if config.TargetGroupStickinessConfig.DurationSeconds != nil {
		p.at("forwardConfig.targetGroupStickinessConfig.durationSeconds", strconv.Itoa(*config.TargetGroupStickinessConfig.DurationSeconds)).
			note("has no effect: a Network Load Balancer keeps a client to its target group without a time limit", "")
	}
}

func (p parser) checkWeight(path string, weight *int, several bool) int {
	switch {
	case weight == nil && several:
		p.at(path, "").bad("is missing: with several target groups each needs a weight", fmt.Sprintf("name one from 0 to %d", maxWeight))
	case weight == nil:
	case *weight < 0 || *weight > maxWeight:
		p.at(path, strconv.Itoa(*weight)).bad(fmt.Sprintf("must be from 0 to %d", maxWeight), "")
	default:
		return *weight
	}
	return 0
}

func (p parser) checkTarget(path string, t forwardTarget) {
	q := p.at(path, t.text())
	switch {
	case t.names() != 1:
		q.bad("must have exactly one of serviceName, targetGroupARN and targetGroupName", "")
	case t.TargetGroupARN != "" && !strings.Contains(t.TargetGroupARN, ":targetgroup/"):
		q.bad("is not the ARN of a target group", "write it as arn:aws:elasticloadbalancing:REGION:ACCOUNT:targetgroup/NAME/ID")
	case t.ServiceName != "" && t.ServicePort.IntValue() == 0 && t.ServicePort.StrVal == "":
		q.bad("servicePort is missing", "name the number or the name of a port of the Service")
	case t.ServiceName == "" && t.Decrypt != nil:
		q.note("decrypt has no effect on a target group that someone else made", "")
	}
}

// noteUnknown warns about members that nothing reads. Names count in any case,
// as they are read.
func (p parser) noteUnknown() {
	config := p.members("", json.RawMessage(p.value), "type", "forwardConfig")["forwardconfig"]
	parts := p.members("forwardConfig.", config, "baseServiceWeight", "targetGroups", "targetGroupStickinessConfig")
	p.members("forwardConfig.targetGroupStickinessConfig.", parts["targetgroupstickinessconfig"], "enabled", "durationSeconds")
	var groups []json.RawMessage
	_ = json.Unmarshal(parts["targetgroups"], &groups) // it was read before
	for i, g := range groups {
		p.members(fmt.Sprintf("forwardConfig.targetGroups[%d].", i), g, "serviceName", "servicePort", "targetGroupARN", "targetGroupName", "decrypt", "weight")
	}
}

// members are the members of an object by name in small letters; those that are
// not known are warned about.
func (p parser) members(path string, text json.RawMessage, known ...string) map[string]json.RawMessage {
	var object map[string]json.RawMessage
	_ = json.Unmarshal(text, &object) // it was read before
	out := map[string]json.RawMessage{}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		if !slices.ContainsFunc(known, func(k string) bool { return strings.EqualFold(k, name) }) {
			p.at(path+name, string(object[name])).note("is not known here; it has no effect", didYouMean(name, known))
		}
		out[strings.ToLower(name)] = object[name]
	}
	return out
}
