// Package wire speaks the AWS protocols: Query (ELBv2, ELB, STS), EC2 and
// JSON 1.1, with SigV4 verification and AWS's errors.
//
// A service is an [API]: a list of [Action]s, each a plain function from an
// input struct to an output struct. Query actions use the input and output
// structs of aws-sdk-go-v2, whose field names are the wire names; EC2 actions
// use structs whose fields carry an `ec2:"Name"` tag; JSON actions use
// encoding/json. [NewHandler] serves any number of APIs on one address and
// tells them apart as AWS endpoints would be: by the service in the signature's
// credential scope, then Version, then Action or X-Amz-Target.
//
// Invariants: no body is read for an access key that nobody has, and none is
// decoded before its signature was verified, but for the few actions that are
// open to anybody; memory
// per request is bounded by a small multiple of [MaxBodyBytes], whatever the
// parameters look like; an error that is not an [*Error] never reaches a
// client, it is logged and answered as InternalFailure. Apart from net/http the
// package is pure: time and credentials are passed in.
package wire

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"
)

// MaxBodyBytes is the largest request body that is read, 1 MiB. The largest
// legitimate request, RegisterTargets with 1,000 targets, is a tenth of it.
const MaxBodyBytes = 1 << 20

// API is one version of one AWS service.
type API struct {
	Service      string // signing name and credential scope, such as elasticloadbalancing
	Version      string // such as 2015-12-01; empty for JSON services
	Namespace    string // XML namespace of responses; empty for JSON services
	TargetPrefix string // X-Amz-Target without the action, JSON services only
	Region       string // where a global service is signed for, beside Config.Region
	Actions      []Action
}

// Action is one operation of an API.
type Action struct {
	name    string
	codec   codec
	call    func(ctx context.Context, in any) (any, error)
	refusal string
	open    bool
}

// Open returns the action as one that requests need not be signed for. Their
// bodies are read up to 64 KiB.
func (a Action) Open() Action {
	a.open = true
	return a
}

// Name is the action's name, such as CreateLoadBalancer.
func (a Action) Name() string { return a.name }

// Refused marks an action that answers every request with an error, and says
// why, for the reference of the API.
func (a Action) Refused(because string) Action {
	a.refusal = because
	return a
}

// Refusal is why the action answers every request with an error; empty for
// actions that work.
func (a Action) Refusal() string { return a.refusal }

// Query returns an action of the Query protocol. I and O are input and output
// structs of aws-sdk-go-v2. Required members and enum values of I are checked
// before f is called; f may return a nil output when the action has no result.
func Query[I, O any](name string, f func(context.Context, *I) (*O, error)) Action {
	return Action{name: name, codec: newQueryCodec[I, O](name), call: typed(f)}
}

// EC2 returns an action of the EC2 protocol. The fields of I and O carry
// `ec2:"Name"` tags: Name is the name in requests, with its first letter in
// lower case the name in responses. Options after a comma are "required"
// (requests) and "omitempty" (responses). Embedded structs count as their fields;
// other fields without a tag are left alone.
// A nil output is answered with <return>true</return>.
func EC2[I, O any](name string, f func(context.Context, *I) (*O, error)) Action {
	return Action{name: name, codec: newEC2Codec[I, O](name), call: typed(f)}
}

// JSON returns an action of the JSON 1.1 protocol.
func JSON[I, O any](name string, f func(context.Context, *I) (*O, error)) Action {
	return Action{name: name, codec: jsonCodec[I]{}, call: typed(f)}
}

// Stream is an answer that is too large for memory. Size is called once, before
// anything is written to w; an error after that cuts the connection.
type Stream func(w io.Writer, size func(bytes int64)) error

// StreamJSON returns an action of the JSON 1.1 protocol whose output is the bytes
// of a stream.
func StreamJSON[I any](name string, f func(context.Context, *I) (Stream, error)) Action {
	call := func(ctx context.Context, in any) (any, error) { return f(ctx, in.(*I)) }
	return Action{name: name, codec: jsonCodec[I]{}, call: call}
}

// typed hides the types of f. A nil *O becomes a nil any.
func typed[I, O any](f func(context.Context, *I) (*O, error)) func(context.Context, any) (any, error) {
	return func(ctx context.Context, in any) (any, error) {
		out, err := f(ctx, in.(*I))
		if err != nil || out == nil {
			return nil, err
		}
		return out, nil
	}
}

// Credential is what is known about an access key.
type Credential struct {
	Caller          Caller
	SecretAccessKey string
	SessionToken    string    // temporary keys only: the token that must come with each request
	Expires         time.Time // temporary keys only
}

// Sessions finds temporary access keys by the session token that comes with
// them. It must not block.
type Sessions interface {
	Session(token string) (Credential, bool)
}

// Credentials finds access keys. It is asked once for every request and must
// not block.
type Credentials interface {
	Credential(accessKeyID string) (Credential, bool)
}

// ErrNoAnswer ends the connection without an answer. Only Config.Around may
// return it, to rehearse what clients do then.
var ErrNoAnswer = errors.New("no answer is sent")

// Config is what a handler needs. All fields but Sessions, Around and
// Audit are required.
type Config struct {
	APIs        []API
	Credentials Credentials
	Sessions    Sessions // nil: there are no temporary keys
	Region      string
	Now         func() time.Time
	Logger      *slog.Logger
	// Around, when not nil, is called instead of every action and calls it by next.
	// What it returns is the answer's error.
	Around func(ctx context.Context, next func(context.Context) error) error
	Audit  func(context.Context, Record) // called once per request, after the answer was made; may be nil
}
