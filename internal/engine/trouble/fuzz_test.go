package trouble

import (
	"encoding/json"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// What is accepted on a command line, the engine is told in JSON and accepts as
// the same rule.
func FuzzParseFault(f *testing.F) {
	for _, text := range []string{
		"CreateLoadBalancer error-after count=2", "RegisterTargets script=pass,throttle", "* throttle probability=0.5 skip=1",
		"ec2:Describe* timeout-after hold=1m30s", "CreateVpc error-before code=Unavailable", "CreateVpc throttle probability=NaN",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		fault, err := ParseFault(text)
		if err != nil || !utf8.ValidString(text) { // as JSON always is
			return
		}
		sent, err := json.Marshal(Settings{Faults: []Fault{fault}})
		if err != nil {
			t.Fatalf("%q is accepted as %+v and cannot be sent: %v", text, fault, err)
		}
		var got Settings
		if err := json.Unmarshal(sent, &got); err != nil {
			t.Fatalf("%q is sent as %s: %v", text, sent, err)
		}
		if err := got.Validate(); err != nil {
			t.Fatalf("%q is sent as %s: %v", text, sent, err)
		}
		if diff := cmp.Diff([]Fault{fault}, got.Faults); diff != "" {
			t.Errorf("%q arrives as another rule (-sent +got):\n%s", text, diff)
		}
	})
}
