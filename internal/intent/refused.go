package intent

// refusedRows are annotations of other controllers that ask for something that
// cannot be given here. To pass over them in silence would serve a load balancer
// other than the one asked for.
func refusedRows() []Annotation {
	refuse := func(key, why, instead string) Annotation {
		return Annotation{Key: key, Kinds: forNLB, refused: why, instead: instead}
	}
	addresses := "chosen addresses are not offered by this version"
	actions := refuse(shortened+"actions", "weighted forward actions of a Service are not offered", "run several Deployments behind one Service")
	actions.Ported, actions.Suffix = true, "PROTOCOL-PORT"
	return []Annotation{
		refuse(prefixAWS+"eip-allocations", addresses, "remove it"),
		refuse(prefixAWS+"private-ipv4-addresses", addresses, "remove it"),
		refuse(prefixAWS+"ipv6-addresses", addresses, "remove it"),
		refuse(prefixAWS+"quic-enabled-ports", "QUIC listeners are not offered", "remove it; a UDP listener passes QUIC through, without following a client that changes its address"),
		refuse(prefixAWS+"enable-prefix-for-ipv6-source-nat", "source NAT prefixes are not offered", "remove it; without them AWS has no UDP listeners on dualstack load balancers"),
		refuse(prefixAWS+"source-nat-ipv6-prefixes", "source NAT prefixes are not offered", "remove it; without them AWS has no UDP listeners on dualstack load balancers"),
		refuse(prefixAWS+"minimum-load-balancer-capacity", "reserved capacity is not offered", "remove it"),
		refuse(prefixAWS+"disable-nlb-sg", "a load balancer made without security groups can never get any", "remove it; without source ranges everyone may connect"),
		refuse(prefixAWS+"multi-cluster-target-group", "target groups are not shared between clusters", "give each cluster a load balancer of its own"),
		actions,
	}
}
