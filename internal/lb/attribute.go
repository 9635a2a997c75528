package lb

// Attribute keys of Network Load Balancers, their target groups and listeners,
// as in the ELBv2 API reference (ModifyLoadBalancerAttributes and its kin).
const (
	AttrDeletionProtection  = "deletion_protection.enabled"
	AttrCrossZone           = "load_balancing.cross_zone.enabled"
	AttrAccessLogsEnabled   = "access_logs.s3.enabled"
	AttrAccessLogsBucket    = "access_logs.s3.bucket"
	AttrAccessLogsPrefix    = "access_logs.s3.prefix"
	AttrDenyAllIGWTraffic   = "ipv6.deny_all_igw_traffic"
	AttrZonalShift          = "zonal_shift.config.enabled"
	AttrClientRoutingPolicy = "dns_record.client_routing_policy"
	AttrSecondaryIPs        = "secondary_ips.auto_assigned.per_subnet"

	AttrDeregistrationDelay        = "deregistration_delay.timeout_seconds"
	AttrDeregistrationTermination  = "deregistration_delay.connection_termination.enabled"
	AttrPreserveClientIP           = "preserve_client_ip.enabled"
	AttrProxyProtocolV2            = "proxy_protocol_v2.enabled"
	AttrStickinessEnabled          = "stickiness.enabled"
	AttrStickinessType             = "stickiness.type"
	AttrDNSFailoverCount           = "target_group_health.dns_failover.minimum_healthy_targets.count"
	AttrDNSFailoverPercentage      = "target_group_health.dns_failover.minimum_healthy_targets.percentage"
	AttrUnhealthyRoutingCount      = "target_group_health.unhealthy_state_routing.minimum_healthy_targets.count"
	AttrUnhealthyRoutingPercentage = "target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage"
	AttrUnhealthyTermination       = "target_health_state.unhealthy.connection_termination.enabled"
	AttrUnhealthyDrainingInterval  = "target_health_state.unhealthy.draining_interval_seconds"

	AttrTCPIdleTimeout = "tcp.idle_timeout.seconds"
)

// CrossZoneFromLoadBalancer is the target group value of AttrCrossZone that
// follows the load balancer's own setting. It is the default.
const CrossZoneFromLoadBalancer = "use_load_balancer_configuration"
