package httplb

import (
	"context"
	"errors"
	"net"
	"strings"
	"time"

	"github.com/fairlead-lb/fairlead/internal/proxy"
	"github.com/fairlead-lb/fairlead/internal/proxy/accesslog"
	"github.com/fairlead-lb/fairlead/internal/proxy/http1"
)

// exchange is one request and its answer.
type exchange struct {
	*session
	view  *view
	entry accesslog.Entry

	received, sent time.Time
	bound          string // the target that the session's cookie names
	choice         proxy.Choice
	to             *backend
	upload         *upload // nil when the body was sent with the head
	body           body    // of the request
}

// maxAttempts is how many connections a request is tried on.
const maxAttempts = 3

// run serves the request and says whether the connection can be used again.
func (x *exchange) run(ctx context.Context) bool {
	x.body = requestBody(&x.request)
	x.bound = x.view.session(&x.request)
	var tried []*proxy.Target
	for range maxAttempts {
		if status := x.connect(ctx, &tried); status != 0 {
			return x.fail(status)
		}
		refusal, again := x.attempt()
		if refusal == nil {
			return x.relay()
		}
		x.release(false)
		if !again || ctx.Err() != nil {
			return x.fail(refusal.Status)
		}
	}
	return x.fail(504)
}

// connect chooses a target and gets a connection to it, or says with what status
// the request fails. A target that cannot be connected to is not asked again.
func (x *exchange) connect(ctx context.Context, tried *[]*proxy.Target) (status int) {
	route := x.listening.route
	for len(*tried) < maxAttempts && ctx.Err() == nil {
		if !x.choose(*tried) {
			return 503
		}
		queue := surge{route.Counters(), int64(x.handler.opts.SurgeQueue), x.view.IdleTimeout}
		b, err := x.handler.target(x.choice).get(ctx, x.shares(), &queue, func() (net.Conn, error) {
			return route.Dial(ctx, x.choice, x.flow)
		})
		if err == nil {
			x.use(b)
			if ctx.Err() == nil { // else abort may have come before there was something to close
				return 0
			}
			x.release(false)
			return 503
		}
		x.choice.Done()
		if errors.Is(err, errSpillover) || errors.Is(err, errImpatient) {
			return 503
		}
		*tried = append(*tried, x.choice.Target)
	}
	return 503
}

// choose follows the session's cookie while its target takes requests.
func (x *exchange) choose(tried []*proxy.Target) (ok bool) {
	if x.bound != "" && len(tried) == 0 {
		if x.choice, ok = x.listening.route.Find(x.bound); ok {
			return true
		}
	}
	x.choice, ok = x.listening.route.Pick(x.flow.Client, tried...)
	return ok
}

// shares says that connections to the target may serve several clients.
func (x *exchange) shares() bool {
	return x.choice.Pool.ProxyProtocol == proxy.NoProxyHeader && !x.choice.Pool.KeepClientAddress
}

func (x *exchange) use(b *backend) {
	x.to = b
	b.serves(x.listening.route, x.choice)
	x.backend.Store(b)
	x.entry.Target = x.choice.Target.Addr
}

// release gives the connection to the target back, or closes it.
func (x *exchange) release(again bool) {
	x.backend.Store(nil)
	if again && x.shares() {
		x.to.put()
	} else {
		x.to.drop()
	}
	x.to = nil
	x.choice.Done()
}

// attempt sends the request and reads the head of the answer. It says why that
// failed and whether the request may be sent again: nothing of an answer came on
// a connection that had served before and may have been closed meanwhile.
func (x *exchange) attempt() (refusal *http1.Refusal, again bool) {
	stale := !x.to.fresh
	if err := x.send(); err == nil {
		if refusal = x.readAnswer(); refusal == nil {
			return nil, false
		}
	} else {
		refusal = &http1.Refusal{Status: 504, Reason: "the target closed the connection"}
	}
	untouched := len(x.to.data()) == 0 && refusal.Reason != errTimeout.Error()
	again = stale && untouched && x.upload == nil && x.request.Idempotent()
	if refused := x.endUpload(); refused != nil {
		return refused, false
	}
	return refusal, again
}

// send sends the head, with as much of the body as is at hand. The rest is
// copied while the answer is awaited.
func (x *exchange) send() error {
	x.out = x.request.Append(x.out[:0], http1.Forward{
		For: x.from, Proto: x.scheme, Port: x.view.port, Host: x.view.host, Close: x.view.isolated(x.request.Tier) || !x.shares(),
	})
	x.body = requestBody(&x.request)
	ready := x.body
	n, out, err := ready.take(x.client.data())
	if err == nil && ready.ended && len(out) <= backendBuffer {
		x.body = ready
		x.out = append(x.out, out...)
		if err := x.to.write(x.out, x.view.IdleTimeout); err != nil {
			return err
		}
		x.client.r += len(out) - len(out) // what was taken stays until the answer came, to be sent again
		x.taken = n
	} else {
		if err := x.to.write(x.out, x.view.IdleTimeout); err != nil {
			return err
		}
		x.upload = startUpload(x)
	}
	x.sent = time.Now()
	x.entry.RequestTime = x.sent.Sub(x.received)
	x.view.counters.requests.Inc()
	return nil
}
