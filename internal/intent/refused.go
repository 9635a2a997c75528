package intent

// refusedRows are annotations of other controllers that ask for something that
// cannot be given here. To pass over them in silence would serve a load balancer
// other than the one asked for.
func refusedRows() []Annotation {
	refuse := func(key, why, instead string) Annotation {
		return Annotation{Key: key, Kinds: forNLB, refused: why, instead: instead}
	}
	actions := refuse(shortened+"actions", "weighted forward actions of a Service are not offered", "run several Deployments behind one Service")
	actions.Ported, actions.Suffix = true, "PROTOCOL-PORT"
	return []Annotation{
		refuse(prefixAWS+"quic-enabled-ports", "QUIC listeners are not offered", "remove it; a UDP listener passes QUIC through, without following a client that changes its address"),
		refuse(prefixAWS+"disable-nlb-sg", "a load balancer made without security groups can never get any", "remove it; without source ranges everyone may connect"),
		refuse(prefixAWS+"multi-cluster-target-group", "target groups are not shared between clusters", "give each cluster a load balancer of its own"),
		actions,
	}
}
