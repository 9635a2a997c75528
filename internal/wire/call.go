package wire

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Caller is who signed a request.
type Caller struct {
	AccountID   string
	Name        string // user name; empty for the root key and for sessions of roles
	Role        string // role name, of a session of a role
	ARN         string // such as arn:aws:iam::000000000000:user/controller
	AccessKeyID string
}

// Call is what is known about a request beside its parameters.
type Call struct {
	RequestID string
	Service   string // such as ec2
	Version   string // of the service's API, such as 2016-11-15; empty where it has one alone
	Action    string // such as DescribeVpcs
	Region    string
	SourceIP  netip.Addr
	Secure    bool // came over TLS
	UserAgent string
}

// Record is one line of the audit log: a call and how it ended.
type Record struct {
	Call
	Caller    Caller   // zero when the signature was not accepted
	Resources []string // ARNs noted with NoteResource, at most maxNotedResources
	Status    int      // HTTP status of the answer
	ErrorCode string   // AWS's error code; empty on success
	Start     time.Time
	Duration  time.Duration
}

// maxNotedResources bounds a Record: DescribeTags and its kin take 20 ARNs.
const maxNotedResources = 64

type contextKey int

const (
	callerKey contextKey = iota
	callKey
	notesKey
)

// WithCaller returns a context that carries the caller. The handler does this
// for every verified request; tests of use cases do it themselves.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey, c)
}

// CallerFrom returns the caller of the request, or the zero Caller outside one.
func CallerFrom(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey).(Caller)
	return c
}

// WithCall returns a context that carries the call.
func WithCall(ctx context.Context, c Call) context.Context {
	return context.WithValue(ctx, callKey, c)
}

// CallFrom returns the call being served, or the zero Call outside one.
func CallFrom(ctx context.Context) Call {
	c, _ := ctx.Value(callKey).(Call)
	return c
}

// notes collects the resources of a call while it is being served.
type notes struct {
	mu   sync.Mutex
	arns []string
}

// NoteResource adds the ARN of a resource that the call is about to its audit
// record, once. Outside a request it does nothing.
func NoteResource(ctx context.Context, arn string) {
	n, ok := ctx.Value(notesKey).(*notes)
	if !ok {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.arns) < maxNotedResources && !slices.Contains(n.arns, arn) {
		n.arns = append(n.arns, arn)
	}
}

func (n *notes) list() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.arns)
}
