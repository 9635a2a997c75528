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
	if got, err := sumOfMetric(strings.NewReader(text), "hosts"); got != 12.5 || err != nil {
		t.Errorf("sumOfMetric = %g, %v, want 12.5", got, err)
	}
	if got, err := sumOfMetric(strings.NewReader(`hosts{group="a"} many`), "hosts"); err == nil {
		t.Errorf("sumOfMetric = %g of what is no number, want an error", got)
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
