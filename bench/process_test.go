package main

import (
	"os"
	"strings"
	"testing"
)

func TestAMetricIsAddedUpOverItsLabels(t *testing.T) {
	const text = `# HELP hosts Targets.
hosts{group="a b"} 10
hosts{group="c"} 2.5
hosts_total{group="a"} 99
`
	if got, err := metric(strings.NewReader(text), "hosts"); got != 12.5 || err != nil {
		t.Errorf("metric = %g, %v, want 12.5", got, err)
	}
	if got, err := metric(strings.NewReader(`hosts{group="a"} many`), "hosts"); err == nil {
		t.Errorf("metric = %g of what is no number, want an error", got)
	}
	if got, err := metric(strings.NewReader("# HELP hosts Targets.\nhosts 3\n"), "hosts"); got != 3 || err != nil {
		t.Errorf("metric = %g, %v without labels, want 3", got, err)
	}
	if got, err := metric(strings.NewReader("hosts_total 3\n"), "hosts"); err == nil {
		t.Errorf("metric = %g where there is none, want an error", got)
	}
}

func TestProcessorTimeIsThatOfTheProcess(t *testing.T) {
	before, err := processorTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for after := before; after.user == before.user; {
		if after, err = processorTime(os.Getpid()); err != nil {
			t.Fatal(err)
		}
		if after.user < before.user || after.system < before.system {
			t.Fatalf("processor time went from %+v to %+v", before, after)
		}
	}
	if _, err := processorTime(1 << 30); err == nil {
		t.Error("a process that does not exist has processor time")
	}
}
