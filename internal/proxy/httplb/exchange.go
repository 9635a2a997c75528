package httplb

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
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
	upload         *upload      // nil when the body was sent with the head
	body           body         // of the request
	taken          int          // bytes in the client's buffer that are its body
	busy           atomic.Int64 // when a piece of a body was last passed on, Unix nanoseconds
}

// maxAttempts is how many connections a request is tried on.
const maxAttempts = 3

// run serves the request and says whether the connection can be used again.
func (x *exchange) run(ctx context.Context) bool {
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
	return x.fail(errClosed().Status)
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
	stale, closed := !x.to.fresh, true
	if x.send() != nil {
		refusal = errClosed()
	} else if refusal, closed = x.readAnswer(); refusal == nil {
		return nil, false
	}
	again = stale && closed && x.upload == nil && x.request.Idempotent()
	if fault := x.endUpload(); fault != nil {
		return fault, false
	}
	return refusal, again
}

// errClosed is 504 and not 502: so the user guide for Classic Load Balancers has
// it for targets that close the connection (troubleshoot, HTTP 504).
func errClosed() *http1.Refusal {
	return &http1.Refusal{Status: 504, Reason: "the target closed the connection"}
}

// send sends the head, with the body if that is at hand. What was taken from the
// client stays in its buffer, to be sent again. Otherwise the body is copied
// while the answer is awaited.
func (x *exchange) send() error {
	x.out = x.request.Append(x.out[:0], http1.Forward{
		For: x.from, Proto: x.scheme, Port: x.view.port, Host: x.view.host, Close: x.view.isolated(x.request.Tier) || !x.shares(),
	})
	x.body = requestBody(&x.request)
	ready := x.body
	n, out, err := ready.take(x.client.data())
	whole := err == nil && ready.ended
	if whole {
		x.body, x.taken = ready, n
		x.out = append(x.out, out...)
	}
	x.sent = time.Now()
	if err := x.to.write(x.out, x.view.IdleTimeout); err != nil {
		return err
	}
	if !whole {
		x.client.detach()
		x.upload = startUpload(x)
	}
	x.entry.RequestTime = x.sent.Sub(x.received)
	return nil
}

// readAnswer reads the head of the answer and passes on what comes before it,
// such as 100 Continue. closed says that the target closed the connection before
// a byte of it came.
func (x *exchange) readAnswer() (refusal *http1.Refusal, closed bool) {
	for n := range maxInterim {
		head, refusal, closed := x.readHeadOfAnswer()
		if refusal != nil {
			return refusal, closed && n == 0
		}
		res := &x.response
		if err := res.Parse(head); err != nil && !errors.As(err, &refusal) {
			refusal = &http1.Refusal{Status: 502, Reason: err.Error()}
		}
		if refusal == nil && res.Status == 101 {
			refusal = &http1.Refusal{Status: 502, Reason: "101 without an Upgrade"}
		}
		if refusal != nil {
			return refusal, false
		}
		if res.Status >= 200 {
			x.to.r += len(head) // not discard: the response points into the buffer
			return nil, false
		}
		if x.request.Minor > 0 {
			x.out = res.Append(x.out[:0], &x.request, http1.Backward{})
			if x.client.write(x.out, x.view.IdleTimeout) != nil {
				return &http1.Refusal{Status: 408, Reason: "the client has gone"}, false
			}
		}
		x.to.discard(len(head))
	}
	return &http1.Refusal{Status: 502, Reason: "too many interim answers"}, false
}

// maxInterim bounds how many 1xx a target may send for one request, its final
// answer included.
const maxInterim = 32

func (x *exchange) readHeadOfAnswer() (head []byte, refusal *http1.Refusal, closed bool) {
	for seen := 0; ; {
		data := x.to.data()
		if end := http1.End(data, seen); end > 0 {
			return data[:end], nil, false
		}
		seen = len(data)
		err := x.to.grow(http1.MaxHead)
		if err == nil {
			err = x.fillFrom(&x.to.stream)
		}
		switch {
		case err == nil:
		case errors.Is(err, errTimeout) && x.upload != nil && !x.upload.taken.Load():
			return nil, errUnfinished(), false
		case errors.Is(err, errTimeout):
			return nil, &http1.Refusal{Status: 504, Reason: "the target did not answer within the idle timeout"}, false
		case errors.Is(err, errFull):
			return nil, &http1.Refusal{Status: 502, Reason: "the answer's header is too long"}, false
		case len(data) == 0:
			return nil, errClosed(), true
		default:
			return nil, &http1.Refusal{Status: 502, Reason: "the answer broke off"}, false
		}
	}
}

// fillFrom reads more from a side of the exchange. While the other side is busy
// the exchange is not idle.
func (x *exchange) fillFrom(from *stream) error {
	idle := x.view.IdleTimeout
	limit := time.Now().Add(idle)
	for {
		err := from.fill(limit)
		if !errors.Is(err, errTimeout) {
			return err
		}
		if limit = time.Unix(0, x.busy.Load()).Add(idle); !time.Now().Before(limit) {
			return err
		}
	}
}

// upload copies a request's body while its answer is awaited.
type upload struct {
	done   chan struct{}
	failed copyError   // to be read when done is closed
	taken  atomic.Bool // the body's last byte has come; it may not be sent yet
}

func startUpload(x *exchange) *upload {
	u := &upload{done: make(chan struct{})}
	to := x.to
	x.body.last = &u.taken
	go func() {
		defer close(u.done)
		if u.failed = x.pump(&x.body, &x.client, &to.stream); u.failed.source != nil {
			_ = to.conn.Close() // the target must not take a part for the whole
		}
	}()
	return u
}

// endUpload ends the copying of the body after the request failed, and says
// whether the client is at fault.
func (x *exchange) endUpload() *http1.Refusal {
	if x.upload == nil {
		return nil
	}
	_ = x.to.conn.Close()
	x.client.interrupt()
	<-x.upload.done
	var refusal *http1.Refusal
	switch err := x.upload.failed.source; {
	case err == nil, errors.Is(err, errInterrupted):
		return nil
	case errors.As(err, &refusal):
		return refusal
	}
	return errUnfinished()
}

func errUnfinished() *http1.Refusal {
	return &http1.Refusal{Status: 408, Reason: "the request did not come whole"}
}

// uploaded says that the whole body was sent. If it was not, it ends the copying.
func (x *exchange) uploaded() bool {
	if x.upload == nil {
		return true
	}
	if x.upload.taken.Load() { // the last piece is being sent
		to := x.to.conn
		timer := time.AfterFunc(lastPiece, func() { _ = to.Close() })
		<-x.upload.done
		return timer.Stop() && x.upload.failed == copyError{}
	}
	select {
	case <-x.upload.done:
	default:
		_ = x.endUpload() // the request has failed already
	}
	return false
}

// lastPiece is how long a target may take for the end of a request that it has
// answered already.
const lastPiece = time.Second
