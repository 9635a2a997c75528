package cost

// The include path is where Debian keeps asm/types.h, whose content is the same
// for every target.
//go:generate go tool bpf2go -go-package cost -cc clang-14 -strip llvm-strip-14 -target amd64,arm64 bench ../../../bpf/bench.bpf.c -- -O2 -Wall -Werror -mcpu=v3 -I/usr/include/x86_64-linux-gnu
