package edge

import (
	"log/slog"
	"os"
	"regexp"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fairlead-lb/fairlead/internal/edgeapi"
	"github.com/fairlead-lb/fairlead/internal/proxy"
)

// described is a Registerer that keeps the names of what it is given.
type described map[string]bool

var nameOfDesc = regexp.MustCompile(`fqName: "([^"]+)"`)

func (d described) Register(c prometheus.Collector) error {
	all := make(chan *prometheus.Desc, 1000)
	c.Describe(all)
	close(all)
	for desc := range all {
		d[nameOfDesc.FindStringSubmatch(desc.String())[1]] = true
	}
	return nil
}

func (d described) MustRegister(all ...prometheus.Collector) {
	for _, c := range all {
		_ = d.Register(c)
	}
}

func (described) Unregister(prometheus.Collector) bool { return false }

// The page on metrics names those that there are, and all that are the edge's.
func TestThePageOnMetricsIsTrue(t *testing.T) {
	names := described{}
	disk, err := OpenDisk(t.TempDir(), zone, sealWith("k"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { disk.Close() })
	if _, err := New(Config{Zone: zone, Disk: disk, Link: edgeapi.NewLocal(newEngine(), zone), DataPath: &tables{}, Prober: &answers{}, Metrics: names}); err != nil {
		t.Fatal(err)
	}
	own := len(names)
	page, err := os.ReadFile("../../docs/reference/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]bool{}
	for _, name := range regexp.MustCompile(`fairlead_[a-z_]*[a-z]`).FindAllString(string(page), -1) {
		told[name] = true
	}
	for name := range names {
		if !told[name] {
			t.Errorf("the page does not tell of %s", name)
		}
	}
	if _, err := proxy.New(proxy.Options{Metrics: names}); err != nil {
		t.Fatal(err)
	}
	if len(names) == own {
		t.Error("the proxy has no metrics: the page cannot be compared with them")
	}
	for name := range told {
		if !names[name] && name != "fairlead_proxy" {
			t.Errorf("the page tells of %s, which there is not", name)
		}
	}
}
