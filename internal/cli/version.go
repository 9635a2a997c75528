package cli

// Version names the build; the Makefile sets it from git at link time.
var Version = "devel"
