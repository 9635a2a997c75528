// Package proxy serves the listeners that need a process between client and
// target: TLS and PROXY protocol v2 of Network Load Balancers, clients and
// targets of different IP versions, and all of Classic Load Balancers (TCP, SSL,
// HTTP, HTTPS).
//
// Invariants:
//   - A Config says all there is to serve. What changes between two of them
//     changes in place: nobody's connection ends because a neighbour's did.
//   - Bytes of a client reach a target at most once; a request is tried again on
//     another target only if nothing of it was sent.
//   - Memory is bounded by the connections, and connections by Options. A
//     connection on which nothing comes holds neither a pipe nor a buffer.
//   - What a client sends is data: a PROXY header of its own is neither believed
//     nor taken away.
//   - A successor accepts from the same sockets: an upgrade refuses nobody.
//
// A Server has a Route for each listener, and a Route a plan, which is a Listener
// made ready and replaced whole. Where TCP is all that clients and targets speak,
// event loops carry the connections (package loop; carry.go is what they ask).
// Otherwise a connection is a session: goroutines shake hands, find a target and
// relay. Who is chosen (balance.go), how a target is approached (target.go) and
// whose connections end (ending.go) are decided without I/O, for both.
package proxy
