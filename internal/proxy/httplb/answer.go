package httplb

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/fairlead-lb/fairlead/internal/proxy/http1"
)

// relay passes the answer on, whose head was read, and says whether the client's
// connection can be used again.
func (x *exchange) relay() bool {
	res := &x.response
	now := time.Now()
	x.entry.TargetTime = now.Sub(x.sent)
	x.entry.Status, x.entry.TargetStatus = res.Status, res.Status
	x.view.counters.requests.Inc()
	x.view.counters.answered(res.Status, x.entry.TargetTime)

	b := responseBody(res, &x.request)
	keep := x.keeps() && !b.toEnd && !b.dechunk
	x.out = res.Append(x.out[:0], &x.request, http1.Backward{
		Connection: x.connection(keep), SetCookies: x.view.bind(res, x.choice.Target.ID, x.bound), Dechunk: b.dechunk,
	})
	failed := x.copyAnswer(&b)
	x.entry.Sent = b.bytes
	if b.toEnd && errors.Is(failed.source, io.EOF) {
		b.ended, failed = true, copyError{}
	}
	whole := failed == copyError{}
	if !whole && (b.toEnd || b.dechunk) {
		x.reset()
	}
	sent := x.uploaded()
	again := whole && sent && !b.toEnd && res.Persists(&x.request) && len(x.to.data()) == 0 && !x.view.isolated(x.request.Tier)
	x.release(again)
	x.client.discard(x.taken)
	x.log()
	if whole && !sent {
		x.client.linger()
	}
	return keep && whole && sent
}

// copyAnswer sends the head with what there is of the body, then the rest.
func (x *exchange) copyAnswer(b *body) copyError {
	n, out, err := b.take(x.to.data())
	x.out = append(x.out, out...)
	x.to.discard(n)
	if failed := x.client.write(x.out, x.view.IdleTimeout); failed != nil {
		return copyError{sink: failed}
	}
	x.entry.ResponseTime = time.Since(x.sent) - x.entry.TargetTime
	if err != nil || b.ended {
		return copyError{source: err}
	}
	return x.pump(b, &x.to.stream, &x.client)
}

// keeps says that the client's connection may be used again if the answer
// permits. A body that is still being sent hardly ends in time.
func (x *exchange) keeps() bool {
	if x.upload != nil && !x.upload.taken.Load() {
		return false
	}
	return x.request.Persists() && !x.view.isolated(x.request.Tier) && !retired(x.listening.route)
}

// connection is the Connection field of an answer.
func (x *exchange) connection(keep bool) string {
	switch {
	case !keep:
		return "close"
	case x.request.Minor == 0:
		return "keep-alive"
	}
	return ""
}

// reset makes the end of the client's connection look like the failure it is,
// where nothing else tells that an answer is not whole.
func (x *exchange) reset() {
	c := x.client.conn
	if under, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = under.NetConn()
	}
	if tcp, ok := c.(interface{ SetLinger(int) error }); ok {
		_ = tcp.SetLinger(0) // fails when the client has gone
	}
}

// fail answers a request that no target answered. The connection can be used
// again when the whole request has been read.
func (x *exchange) fail(status int) bool {
	n, _, err := x.rest()
	keep := status >= 500 && err == nil && x.upload == nil && x.keeps()
	if keep {
		x.client.discard(n)
	}
	x.answer(status, keep)
	return keep
}

// rest looks for the body's end in what was read.
func (x *exchange) rest() (n int, out []byte, err error) {
	b := requestBody(&x.request)
	n, out, err = b.take(x.client.data())
	if err == nil && !b.ended {
		err = io.ErrUnexpectedEOF
	}
	x.entry.Received = int64(len(out))
	return n, out, err
}

// refuse answers what is no request.
func (x *exchange) refuse(r *http1.Refusal) {
	x.request = http1.Request{} // what was read of it is not to be trusted
	if r.Status != 408 {
		x.view.counters.nonCompliant.Inc()
	}
	x.answer(r.Status, false)
}

// answer answers in the load balancer's own name.
func (x *exchange) answer(status int, keep bool) {
	x.entry.Status = status
	x.view.counters.elb[status/100].Inc()
	connection := x.connection(keep)
	x.out = append(append(append(x.out[:0], "HTTP/1.1 "...), statusLine(status)...), "\r\nDate: "...)
	x.out = time.Now().UTC().AppendFormat(x.out, http.TimeFormat)
	x.out = append(x.out, "\r\nContent-Length: 0\r\n"...)
	if connection != "" {
		x.out = append(append(append(x.out, "Connection: "...), connection...), "\r\n"...)
	}
	x.out = append(x.out, "\r\n"...)
	x.log()
	if err := x.client.write(x.out, x.view.IdleTimeout); err == nil && !keep {
		x.client.linger()
	}
}

// statusLine has the phrases of Classic Load Balancers.
func statusLine(status int) string {
	switch status {
	case 400:
		return "400 BAD_REQUEST"
	case 405:
		return "405 METHOD_NOT_ALLOWED"
	case 408:
		return "408 REQUEST_TIMEOUT"
	case 502:
		return "502 Bad Gateway"
	case 503:
		return "503 Service Unavailable"
	}
	return "504 GATEWAY_TIMEOUT"
}

// log writes the access log.
func (x *exchange) log() {
	spool := x.handler.opts.AccessLog
	if spool == nil || !x.view.logs {
		return
	}
	r, e := &x.request, &x.entry
	if x.body.bytes > 0 {
		e.Received = x.body.bytes
	}
	if len(r.Method) > 0 {
		e.Method, e.UserAgent, e.Version = string(r.Method), string(r.UserAgent), "HTTP/1.1"
		if r.Minor == 0 {
			e.Version = "HTTP/1.0"
		}
		e.URL = x.url()
	}
	spool.Log(x.view.destination, e)
}

// url writes what the client asked for, with the port in any case.
func (x *exchange) url() string {
	host := string(x.request.Host)
	if host == "" {
		host = x.view.host
	}
	if strings.LastIndexByte(host, ':') <= strings.LastIndexByte(host, ']') {
		host += ":" + x.view.port
	}
	return x.scheme + "://" + host + string(x.request.Target)
}
