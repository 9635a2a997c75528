// Package http1 reads and writes the heads and the framing of HTTP/1.x messages
// (RFC 9112) as a proxy must: from bytes to bytes, strictly, and without I/O.
//
// Invariants:
//   - The bytes of a message that is passed on have one reading. A request whose
//     end could be told in two ways is refused, or it is classified and its
//     framing is written anew: one Content-Length or one Transfer-Encoding.
//   - Nothing of a head is passed on that is not a field name, a field value
//     without CR, LF and NUL, or a request target without controls.
//   - Fields point into the buffer that was parsed: they live as long as it is
//     not written to.
//
// Why not net/http or fasthttp: on two cores with wrk (32 connections) and nginx
// as the target, requests per second through httputil.ReverseProxy were 0.4 of
// HAProxy's, through a handler on net/http's Transport 0.6, through fasthttp 1.0
// and through a loop on bytes 1.15. Both libraries also repair what desync
// mitigation has to see, and fasthttp holds whole bodies in memory.
package http1
