package state

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
)

// DerivedID makes an ID of EC2's form, the same for the same parts, for things
// that follow from others.
func DerivedID(prefix string, parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		h.Write([]byte(strconv.Itoa(len(p)) + ":" + p))
	}
	return prefix + "-" + hex.EncodeToString(h.Sum(nil))[:17]
}

// InterfaceID is the ID of the network interface that a load balancer has in a
// zone.
func InterfaceID(balancerARN, zone string) string { return DerivedID("eni", balancerARN, zone) }

func interfaceIDs(balancerARN string, zones []ZoneMapping) []string {
	ids := make([]string, len(zones))
	for i, z := range zones {
		ids[i] = InterfaceID(balancerARN, z.Zone)
	}
	return ids
}
