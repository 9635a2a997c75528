package netlab

// LoadXDP is for tests that need a program with a certain verdict.
var LoadXDP = loadXDP
