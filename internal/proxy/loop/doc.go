// Package loop carries TCP connections between clients and targets from event
// loops, one for each processor: accepting, connecting, moving bytes and closing
// are non-blocking system calls of a few goroutines, and a connection is a record
// in one of them. Who may connect, where to, and what to say first is asked of a
// Server and its Sessions.
//
// Invariants:
//   - A loop owns its connections and their descriptors: nobody else touches them.
//   - What to do next follows from a connection's state alone (machine.go).
//   - Sockets are watched edge-triggered, from one call until they are closed:
//     what is known of a socket is only forgotten by trying.
//   - A connection on which nothing comes holds neither a pipe nor a buffer.
//   - Bytes arrive in order and once; an end is passed on after them, an error to
//     both sides as a reset.
package loop
