package wire

import (
	"context"
	"errors"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/netip"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// NewHandler returns the handler that serves the APIs.
func NewHandler(cfg Config) http.Handler {
	h := &handler{Config: cfg, services: map[string][]service{}}
	for _, api := range cfg.APIs {
		h.services[api.Service] = append(h.services[api.Service], newService(api, cfg.Region))
		h.anyOpen = h.anyOpen || slices.ContainsFunc(api.Actions, func(a Action) bool { return a.open })
	}
	return h
}

type handler struct {
	Config
	services map[string][]service // by signing name; one entry per version
	anyOpen  bool                 // whether any action is open
}

// service is an API with its actions by name.
type service struct {
	API
	actions map[string]Action
}

func newService(api API, region string) service {
	s := service{api, make(map[string]Action, len(api.Actions))}
	if s.Region == "" {
		s.Region = region
	}
	for _, a := range api.Actions {
		s.actions[a.name] = a
	}
	return s
}

// exchange is one request on its way through the handler.
type exchange struct {
	request   *http.Request
	call      Call
	caller    Caller
	notes     notes
	protocol  protocol
	namespace string
	start     time.Time
	stream    Stream // the output, of an action that streams
}

// reply is what goes back.
type reply struct {
	status int
	body   []byte
	code   string // AWS's error code; empty on success
	none   bool   // nothing goes back: the connection ends
	stream Stream // instead of body
}

// streamTimeout is how long a client may take to read a stream.
const streamTimeout = time.Hour

// noAnswer is the audit's code for a call that was left without an answer.
const noAnswer = "NoAnswer"

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{request: r, start: h.Now(), protocol: protocolOf("", r.Header)}
	x.call = Call{RequestID: uuid.NewString(), SourceIP: sourceIP(r), Secure: r.TLS != nil, UserAgent: quotable(r.UserAgent())}
	out := h.safely(x, w)
	if out.none {
		h.audit(x, out)
		panic(http.ErrAbortHandler)
	}
	header := w.Header()
	header.Set("Content-Type", x.protocol.contentType)
	header.Set("X-Amzn-Requestid", x.call.RequestID)
	header.Set("Date", h.Now().UTC().Format(http.TimeFormat)) // clients measure their clock's skew by it
	if out.stream != nil {
		h.stream(w, x, out)
		return
	}
	w.WriteHeader(out.status)
	_, _ = w.Write(out.body) // a client that went away is its own problem
	h.audit(x, out)
}

// stream answers with a stream. Its length is told first, so that the client
// knows when it was cut.
func (h *handler) stream(w http.ResponseWriter, x *exchange, out reply) {
	_ = http.NewResponseController(w).SetWriteDeadline(h.Now().Add(streamTimeout)) // else the server's own holds
	w.Header().Set("Content-Type", "application/octet-stream")
	err := out.stream(w, func(bytes int64) {
		w.Header().Set("Content-Length", strconv.FormatInt(bytes, 10))
		w.WriteHeader(out.status)
	})
	if err != nil {
		h.Logger.Error("a stream was cut", "action", x.call.Action, "requestId", x.call.RequestID, "error", err)
		out.code = codeInternal
	}
	h.audit(x, out)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
}

func sourceIP(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap()
}

// safely turns errors, and panics of use cases, into replies.
func (h *handler) safely(x *exchange, w http.ResponseWriter) (out reply) {
	defer func() {
		if p := recover(); p != nil {
			h.Logger.Error("an API action panicked", "action", x.call.Action, "requestId", x.call.RequestID,
				"panic", p, "stack", string(debug.Stack()))
			out = x.fail(Errorf(codeInternal, internalText))
		}
	}()
	body, err := h.serve(x, w)
	if err == nil {
		return reply{status: http.StatusOK, body: body, stream: x.stream}
	}
	if errors.Is(err, ErrNoAnswer) {
		return reply{code: noAnswer, none: true}
	}
	e, ok := errors.AsType[*Error](err)
	if !ok {
		h.Logger.Error("an API action failed", "action", x.call.Action, "requestId", x.call.RequestID, "error", err)
		e = Errorf(codeInternal, internalText)
	}
	return x.fail(e)
}

const internalText = "An internal error has occurred. The engine's log has it under this request ID."

func (x *exchange) fail(e *Error) reply {
	e = x.protocol.translate(e)
	return reply{status: e.Status, body: x.protocol.encode(e, x.namespace, x.call.RequestID), code: e.Code}
}

// serve answers a request: identify, read, verify, find the action, decode,
// call, encode. The body of a request with a key that nobody has is not read.
func (h *handler) serve(x *exchange, w http.ResponseWriter) ([]byte, error) {
	if x.request.Header.Get("Authorization") == "" {
		return h.serveOpen(x, w)
	}
	id, err := h.identify(x)
	if err != nil {
		return nil, err
	}
	raw, err := readBody(w, x.request)
	if err != nil {
		return nil, err
	}
	want := expectation{[]string{id.versions[0].Region, h.Region}, id.versions[0].Service, x.start}
	if err := id.authorization.verify(x.request, raw, id.credential, want); err != nil {
		return nil, err
	}
	if e := id.credential.Expires; !e.IsZero() && !x.start.Before(e) {
		return nil, Errorf(codeExpired, "The security token included in the request is expired")
	}
	x.caller = id.credential.Caller
	svc, action, b, err := resolve(x, id.versions, raw)
	if err != nil {
		return nil, err
	}
	return h.perform(x, svc, action, b)
}

// maxOpenBytes bounds the body of a request that nobody has signed.
const maxOpenBytes = 64 << 10

// serveOpen answers a request that is not signed: the service follows from the
// version and the action, which has to be an open one.
func (h *handler) serveOpen(x *exchange, w http.ResponseWriter) ([]byte, error) {
	r := x.request
	if strings.Contains(r.URL.RawQuery, "X-Amz-Signature=") {
		return nil, Errorf(codeIncomplete, "Presigned URLs are not accepted here: sign the request in its Authorization header.")
	}
	missing := Errorf(codeMissingToken, "Request is missing Authentication Token")
	if !h.anyOpen || r.ContentLength <= 0 || r.ContentLength > maxOpenBytes {
		return nil, missing
	}
	raw, err := readBody(w, r)
	if err != nil {
		return nil, err
	}
	form, err := parseForm(string(raw))
	if err != nil {
		return nil, missing
	}
	name, _ := form.get("Action")
	version, _ := form.get("Version")
	for _, versions := range h.services {
		for _, s := range versions {
			if a, ok := s.actions[name]; ok && a.open && s.Version == version {
				x.call.Service, x.call.Action, x.call.Region, x.namespace = s.Service, name, s.Region, s.Namespace
				return h.perform(x, s, a, body{raw: raw, form: form})
			}
		}
	}
	return nil, missing
}

// perform decodes, calls and encodes.
func (h *handler) perform(x *exchange, svc service, action Action, b body) ([]byte, error) {
	in, err := action.codec.decode(b)
	if err != nil {
		return nil, err
	}
	ctx := WithCall(WithCaller(x.request.Context(), x.caller), x.call)
	out, err := h.call(context.WithValue(ctx, notesKey, &x.notes), action, in)
	if err != nil {
		return nil, err
	}
	if stream, ok := out.(Stream); ok {
		x.stream = stream
		return nil, nil
	}
	return action.codec.encode(out, svc.Namespace, x.call.RequestID)
}

func (h *handler) call(ctx context.Context, action Action, in any) (out any, err error) {
	if h.Around == nil {
		return action.call(ctx, in)
	}
	err = h.Around(ctx, func(ctx context.Context) (err error) {
		out, err = action.call(ctx, in)
		return err
	})
	return out, err
}

// identity is what a request claims in its Authorization header.
type identity struct {
	authorization
	versions   []service // of the service in the credential scope
	credential Credential
}

// identify reads the Authorization header and finds the service and the key
// that it names. Nothing is proved yet.
func (h *handler) identify(x *exchange) (identity, error) {
	auth, err := parseAuthorization(x.request.Header.Get("Authorization"))
	if err != nil {
		return identity{}, err
	}
	x.call.Service, x.call.Region = quotable(auth.service), quotable(auth.region)
	x.protocol = protocolOf(auth.service, x.request.Header)
	versions, ok := h.services[auth.service]
	if !ok {
		return identity{}, Errorf(codeUnknownOperation, "This endpoint does not offer the service '%s'; it offers %s.",
			quotable(auth.service), strings.Join(slices.Sorted(maps.Keys(h.services)), ", "))
	}
	x.namespace = versions[0].Namespace
	credential, ok := h.credential(auth.accessKeyID, x.request.Header.Get("X-Amz-Security-Token"))
	if !ok {
		return identity{}, Errorf(codeUnknownKey, unknownKey)
	}
	return identity{auth, versions, credential}, nil
}

// credential finds an access key: by its token when one comes with it.
func (h *handler) credential(accessKeyID, token string) (Credential, bool) {
	if token == "" || h.Sessions == nil {
		return h.Credentials.Credential(accessKeyID)
	}
	c, ok := h.Sessions.Session(token)
	return c, ok && c.Caller.AccessKeyID == accessKeyID
}

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.Method != http.MethodPost {
		return nil, &Error{"MethodNotAllowed", "Requests are made with POST, not " + quotable(r.Method) + ".", http.StatusMethodNotAllowed}
	}
	tooLarge := Errorf(codeTooLarge, "The request body is larger than %d bytes.", MaxBodyBytes)
	if r.ContentLength > MaxBodyBytes {
		w.Header().Set("Connection", "close")
		return nil, tooLarge
	}
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBodyBytes))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, tooLarge
	}
	if err != nil {
		return nil, Errorf("RequestTimeout", "The request body did not arrive: it was cut short or took too long.")
	}
	return raw, nil
}

// resolve finds the action that a verified request asks for.
func resolve(x *exchange, versions []service, raw []byte) (service, Action, body, error) {
	if versions[0].TargetPrefix != "" {
		return resolveTarget(x, versions, raw)
	}
	b := body{raw: raw}
	contentType, _, _ := mime.ParseMediaType(x.request.Header.Get("Content-Type"))
	if contentType != "application/x-www-form-urlencoded" {
		return service{}, Action{}, b, Errorf(codeMissingAction,
			"The request has no Action: parameters are read from application/x-www-form-urlencoded, not from '%s'.", quotable(contentType))
	}
	var err error
	if b.form, err = parseForm(string(raw)); err != nil {
		return service{}, Action{}, b, err
	}
	name, ok := b.form.get("Action")
	if !ok || name == "" {
		return service{}, Action{}, b, Errorf(codeMissingAction, "The request is missing the parameter Action.")
	}
	version, _ := b.form.get("Version")
	x.call.Action = quotable(name)
	for _, s := range versions {
		if s.Version == version {
			x.call.Version = version
			x.namespace = s.Namespace
			if a, ok := s.actions[name]; ok {
				return s, a, b, nil
			}
		}
	}
	return service{}, Action{}, b, unknownAction(x, versions[0].Service, version)
}

// unknownAction words InvalidAction as the service would.
func unknownAction(x *exchange, service, version string) error {
	if service == "ec2" {
		return Errorf(codeInvalidAction, "The action %s is not valid for this web service.", x.call.Action)
	}
	return Errorf(codeInvalidAction, "Could not find operation %s for version %s", x.call.Action, quotable(version))
}

func resolveTarget(x *exchange, versions []service, raw []byte) (service, Action, body, error) {
	x.protocol = jsonProtocol
	target := x.request.Header.Get("X-Amz-Target")
	prefix, name, _ := strings.Cut(target, ".")
	x.call.Action = quotable(name)
	for _, s := range versions {
		if a, ok := s.actions[name]; ok && s.TargetPrefix == prefix {
			return s, a, body{raw: raw}, nil
		}
	}
	return service{}, Action{}, body{}, Errorf(codeUnknownOperation, "Operation '%s' is not known.", quotable(target))
}

func (h *handler) audit(x *exchange, out reply) {
	if h.Audit == nil {
		return
	}
	h.Audit(x.request.Context(), Record{
		Call: x.call, Caller: x.caller, Resources: x.notes.list(), Status: out.status,
		ErrorCode: out.code, Start: x.start, Duration: h.Now().Sub(x.start),
	})
}
