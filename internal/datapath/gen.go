package datapath

// The object and the Go types of its maps come from bpf/. The include path is
// where Debian keeps asm/types.h, whose content is the same for every target.
//go:generate go tool bpf2go -go-package datapath -cc clang-14 -strip llvm-strip-14 -target amd64,arm64 -type addr -type setting -type listener_key -type listener -type choice -type group -type target -type vip -type prefix_key -type flow -type bucket -type flow_state -type reason -type event -type balancer_counts edge ../../bpf/edge.bpf.c -- -O2 -Wall -Werror -mcpu=v3 -I/usr/include/x86_64-linux-gnu

// The same program for Trace: it changes nothing.
//go:generate go tool bpf2go -go-package datapath -cc clang-14 -strip llvm-strip-14 -target amd64,arm64 -no-global-types trace ../../bpf/edge.bpf.c -- -O2 -Wall -Werror -mcpu=v3 -DTRACE=1 -I/usr/include/x86_64-linux-gnu

// The same program for the other hook, tc egress.
//go:generate go tool bpf2go -go-package datapath -cc clang-14 -strip llvm-strip-14 -target amd64,arm64 -no-global-types egress ../../bpf/egress.bpf.c -- -O2 -Wall -Werror -mcpu=v3 -I/usr/include/x86_64-linux-gnu
