// Command referencegen writes the page about annotations to the file that its
// argument names.
package main

import (
	"fmt"
	"os"

	"github.com/fairlead-lb/fairlead/internal/intent"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: referencegen FILE")
		os.Exit(2)
	}
	if err := os.WriteFile(os.Args[1], []byte(intent.Reference()), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, "write the page about annotations:", err)
		os.Exit(1)
	}
}
