package state

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-lb/fairlead/internal/store"
)

// TestTablesBelongToTheFormat fails when a table comes or goes: an engine of the
// release before would take the new file for a damaged one. Append to migrations,
// keep a file of the format before in testdata, and write the new list here.
func TestTablesBelongToTheFormat(t *testing.T) {
	const version = 2
	want := []string{
		"addressCursors", "certificateAuthorities", "certificates", "classicInstances", "classicLoadBalancers", "elasticAddresses", "instances",
		"internetGateways", "listeners", "loadBalancers", "prefixLists", "routeTables", "securityGroupRules", "securityGroups",
		"subnets", "tags", "targetGroups", "targets", "vpcs", "zonalAddresses",
	}
	if diff := cmp.Diff(want, schema.Tables()); diff != "" {
		t.Errorf("tables of format %d (-want +got):\n%s", version, diff)
	}
	if got := store.Format(migrations).Version(); got != version {
		t.Errorf("the format is %d, the tables above are those of %d", got, version)
	}
}

func TestAFileOfTheFirstFormatIsMigratedAndKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	old, err := os.ReadFile("testdata/format-1.db")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, old, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time there is nothing left to do
		db := open(t, path)
		r := db.Current()
		got := map[string]string{}
		for a := range ZonalAddresses.All(r) {
			got[a.Address.String()] = a.Holder
		}
		want := map[string]string{"198.18.0.9": "arn:b", "2001:db8::9": "arn:b", "198.18.0.10": "i-1"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("holders of addresses (-want +got):\n%s", diff)
		}
		b, ok := LoadBalancersByName.First(r, "web")
		if !ok || b.Zones[0].IPv4 != netip.MustParseAddr("198.18.0.9") || Tags(r, "arn:b")["k"] != "v" || r.Number() != 1 {
			t.Errorf("revision %d has the load balancer %+v (found %t) with tags %v", r.Number(), b, ok, Tags(r, "arn:b"))
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	checkKept(t, path+".format-1")
}

// checkKept wants a file that the release before can read.
func checkKept(t *testing.T, path string) {
	t.Helper()
	disk, err := store.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	err = disk.Migrate(nil) // the first format's
	if err == nil {
		_, err = disk.Load(func(table, key string, _ []byte) error {
			keys = append(keys, table+"/"+key)
			return nil
		})
	}
	if err := errors.Join(err, disk.Close()); err != nil {
		t.Fatalf("read the copy of the old format: %v", err)
	}
	if !slices.Contains(keys, "loadBalancers/arn:b") {
		t.Errorf("the copy of the old format holds %q", keys)
	}
}
