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
//   - Memory is bounded by the connections, and connections by Options.
package proxy
