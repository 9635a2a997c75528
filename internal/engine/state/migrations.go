package state

import (
	"encoding/json"

	"github.com/fairlead-lb/fairlead/internal/store"
)

// migrations lead from the first format to today's, one version each. A release
// that adds a table or gives a field another meaning appends one, nil when it
// only adds tables, and keeps a file of the format before in testdata.
var migrations = []store.Migration{
	holderOfAddresses, // and prefix lists
}

// holderOfAddresses (from 1 to 2) gives the holder of an address, a load balancer
// or an instance, a name that fits both.
func holderOfAddresses(t store.Tables) error {
	return t.Rewrite("zonalAddresses", func(_ string, value []byte) ([]byte, error) {
		var before struct {
			ZonalAddress
			LoadBalancerARN string `json:"loadBalancerArn"`
		}
		if err := json.Unmarshal(value, &before); err != nil {
			return nil, err
		}
		after := before.ZonalAddress
		after.Holder = before.LoadBalancerARN
		return json.Marshal(after)
	})
}
