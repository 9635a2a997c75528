package cloud

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// Class says what an error means to the controller.
type Class string

// Classes of errors.
const (
	NotFound  Class = "not-found" // it is gone, or not there yet
	InUse     Class = "in-use"    // something that goes first has not gone yet
	Duplicate Class = "duplicate" // the name, port or rule is taken, perhaps by us
	Throttled Class = "throttled"
	Denied    Class = "denied"
	Quota     Class = "quota"
	Invalid   Class = "invalid"   // AWS refuses the request; repeating it is of no use
	Transient Class = "transient" // a fault of the service, the network or time
)

// Error is an error of an API call.
type Error struct {
	Doing string // such as "create load balancer fl-default-nginx-03au32mib7"
	Code  string // AWS's error code; empty when no answer came
	Class Class
	Err   error
}

func (e *Error) Error() string { return e.Doing + ": " + e.reason() }
func (e *Error) Unwrap() error { return e.Err }

// reason is why, in words that are the same each time: whoever tells of an
// error tells of it once, and a status that differs is a change. Request IDs,
// attempt counts, ports of our own and the text in which EC2 encodes a denial
// differ from call to call.
func (e *Error) reason() string {
	if api, ok := errors.AsType[smithy.APIError](e.Err); ok {
		message, _, _ := strings.Cut(api.ErrorMessage(), "Encoded authorization failure message:")
		return strings.TrimSpace(message) + " (" + api.ErrorCode() + ")"
	}
	if errors.Is(e.Err, context.DeadlineExceeded) {
		return "no answer in time"
	}
	if r, ok := errors.AsType[*smithyhttp.ResponseError](e.Err); ok && r.HTTPStatusCode() != 0 {
		return fmt.Sprintf("the answer is none of AWS's; its HTTP status is %d", r.HTTPStatusCode())
	}
	if u, ok := errors.AsType[*url.Error](e.Err); ok {
		return u.Op + " " + u.URL + ": " + root(u.Err)
	}
	return e.Err.Error()
}

// root is what is wrong with the way to AWS.
func root(err error) string {
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		if dns.IsTimeout {
			return "lookup " + dns.Name + ": no answer in time"
		}
		return "lookup " + dns.Name + ": " + dns.Err
	}
	for op, ok := errors.AsType[*net.OpError](err); ok; op, ok = errors.AsType[*net.OpError](err) {
		err = op.Err // one operation may have another inside
	}
	return err.Error()
}

// Wrap makes an *Error of what an API call returned, nil of nil.
func Wrap(doing string, err error) error {
	if err == nil {
		return nil
	}
	code := ""
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		code = api.ErrorCode()
	}
	return &Error{Doing: doing, Code: code, Class: classify(err), Err: err}
}

// ClassOf is the class of an error; what is not an *Error is transient.
func ClassOf(err error) Class {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Class
	}
	return Transient
}

// Is says whether an error is of a class.
func Is(err error, c Class) bool { return err != nil && ClassOf(err) == c }

func classify(err error) Class {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return Transient
	}
	api, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		return Transient
	}
	if c, ok := classOfCode(api.ErrorCode()); ok {
		return c
	}
	if api.ErrorFault() == smithy.FaultClient {
		return Invalid
	}
	return Transient
}

// classOfCode knows the codes of ELB, ELBv2 and EC2 that mean more than their fault.
func classOfCode(code string) (Class, bool) {
	switch code {
	case "LoadBalancerNotFound", "TargetGroupNotFound", "ListenerNotFound", "InvalidGroup.NotFound", "InvalidGroupId.Malformed",
		"InvalidPermission.NotFound", "PolicyNotFound", "InvalidSecurityGroup", "InvalidSecurityGroupID.NotFound", "SubnetNotFound", "InvalidSubnetID.NotFound":
		return NotFound, true
	case "ResourceInUse", "DependencyViolation", "InvalidGroup.InUse", "TargetGroupAssociationLimit", "PriorRequestNotComplete":
		return InUse, true
	case "DuplicateLoadBalancerName", "DuplicateTargetGroupName", "DuplicateListener", "DuplicatePolicyName", "InvalidGroup.Duplicate", "InvalidPermission.Duplicate":
		return Duplicate, true
	case "Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled", "RequestThrottledException", "RequestLimitExceeded",
		"TooManyRequestsException", "BandwidthLimitExceeded", "SlowDown", "EC2ThrottledException", "DependencyThrottle":
		return Throttled, true
	case "AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthFailure", "InvalidClientTokenId", "SignatureDoesNotMatch",
		"ExpiredToken", "ExpiredTokenException", "RequestExpired", "MissingAuthenticationToken", "UnrecognizedClientException", "IncompleteSignature", "OptInRequired":
		return Denied, true
	case "TooManyLoadBalancers", "TooManyTargetGroups", "TooManyListeners", "TooManyTargets", "TooManyRegistrationsForTargetId", "TooManyTags", "TooManyPolicies",
		"TooManyUniqueTargetGroupsPerLoadBalancer", "SecurityGroupLimitExceeded", "RulesPerSecurityGroupLimitExceeded", "SecurityGroupsPerInterfaceLimitExceeded":
		return Quota, true
	case "InternalFailure", "InternalError", "ServiceUnavailable", "Unavailable", "RequestTimeout", "HealthUnavailable", "InsufficientCapacity",
		"InsufficientFreeAddressesInSubnet":
		return Transient, true
	}
	return "", false
}
