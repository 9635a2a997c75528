package intent

// refusedRows are annotations of other controllers that ask for something that
// cannot be given here. To pass over them in silence would serve a load balancer
// other than the one asked for.
func refusedRows() []Annotation {
	refuse := func(key, why, instead string) Annotation {
		return Annotation{Key: key, Kinds: forNLB, refused: why, instead: instead}
	}
	return []Annotation{
		refuse(prefixAWS+"quic-enabled-ports", "a QUIC listener finds targets by server IDs, which a webhook would have to put into every pod; there is no webhook here", "remove it; a UDP listener passes QUIC through, without following a client that changes its address"),
	}
}
