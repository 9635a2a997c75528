// Package accesslog keeps the access logs of Classic Load Balancers and of the
// TLS listeners of Network Load Balancers: lines go into spool files, and a spool
// file is delivered to its bucket when its interval is over.
//
// Invariants:
//   - A spool file's path below the directory is its bucket and its object's key:
//     whoever finds one knows where it belongs, without the configuration that
//     made it. Delivering twice writes the same object twice.
//   - A spool file is removed only after its delivery succeeded, or when the
//     spool has no room for newer ones, which is counted.
//   - A file that is being written is locked (flock), so that two processes can
//     share a directory while one takes over from the other.
//
// A line is written to its file within a moment and synced within SyncInterval:
// a process that dies loses what it had not written, a machine what was not synced.
package accesslog
