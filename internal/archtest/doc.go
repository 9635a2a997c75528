// Package archtest holds the tests that keep the layout of the repository what
// docs/architecture.md says it is: who may import whom, which packages do no
// I/O, that every package says what it is for.
package archtest
