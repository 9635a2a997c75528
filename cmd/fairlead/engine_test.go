package main

import (
	"strings"
	"testing"

	"github.com/fairlead-lb/fairlead/internal/engine"
	"github.com/fairlead-lb/fairlead/internal/engine/elb"
	"github.com/fairlead-lb/fairlead/internal/engine/elbv2"
)

func TestEngineFlagsThatDoNotFit(t *testing.T) {
	fine := func() engineFlags {
		f := engineFlags{config: engine.Config{Inventory: "inventory.yaml", AccountID: "000000000000", Region: "us-west-2", StateDir: "s", AuditFiles: 1, AuditMaxBytes: 1 << 20, Quotas: elbv2.DefaultQuotas(), Classic: elb.DefaultQuotas()}}
		f.listeners.API, f.listeners.Edges = "127.0.0.1:7440", "127.0.0.1:7441"
		return f
	}
	tests := map[string]struct {
		edit func(*engineFlags)
		want []string // empty: they fit
	}{
		"the defaults":                        {func(*engineFlags) {}, nil},
		"no inventory":                        {func(f *engineFlags) { f.config.Inventory = "" }, []string{"--inventory is required"}},
		"an account of eleven digits":         {func(f *engineFlags) { f.config.AccountID = "00000000000" }, []string{`--account-id "00000000000": must be twelve digits`}},
		"a certificate without its key":       {func(f *engineFlags) { f.certFile = "c" }, []string{"--tls-cert and --tls-key belong together"}},
		"a certificate for plain HTTP":        {func(f *engineFlags) { f.certFile, f.keyFile, f.http = "c", "k", true }, []string{"has no use"}},
		"plain HTTP on loopback":              {func(f *engineFlags) { f.http = true }, nil},
		"plain HTTP on IPv6 loopback":         {func(f *engineFlags) { f.http, f.listeners.API = true, "[::1]:7440" }, nil},
		"plain HTTP on any address":           {func(f *engineFlags) { f.http, f.listeners.API = true, ":7440" }, []string{"--http is for loopback addresses only", "--insecure-http"}},
		"plain HTTP on a network":             {func(f *engineFlags) { f.http, f.listeners.API = true, "198.18.0.10:7440" }, []string{"--insecure-http"}},
		"plain HTTP on a network, and meant":  {func(f *engineFlags) { f.anyHTTP, f.listeners.API = true, "198.18.0.10:7440" }, nil},
		"an address without a port":           {func(f *engineFlags) { f.listeners.API = "127.0.0.1" }, []string{`--listen "127.0.0.1": must be host:port`}},
		"several mistakes, all of them named": {func(f *engineFlags) { f.config.Inventory, f.keyFile = "", "k" }, []string{"--inventory is required", "belong together"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			f := fine()
			test.edit(&f)
			err := f.check()
			if (err == nil) != (len(test.want) == 0) {
				t.Fatalf("check() = %v", err)
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("check() = %v, want …%s…", err, want)
				}
			}
		})
	}
}
