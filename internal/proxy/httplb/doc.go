// Package httplb serves the HTTP and HTTPS listeners of Classic Load Balancers:
// it is the Handler that a proxy.Server gives such connections to.
//
// A connection is one goroutine that reads a request, chooses a target, sends
// the request there over a pooled connection and copies the answer back; a
// second one copies the body of a request that did not arrive with its head.
//
// Invariants:
//   - What is sent on is what internal/proxy/http1 wrote: a target never sees
//     framing that a client wrote.
//   - A connection to a target is used again only when both messages on it ended
//     beyond doubt and nothing was left over: an answer goes to the request that
//     it belongs to.
//   - A request is sent a second time only if nothing of it was sent the first
//     time, or if it is idempotent, wholly at hand and no byte of an answer came.
//   - Every wait has an end: the idle timeout, or the time for a request's head.
package httplb
