package clusterdns

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	applycore "k8s.io/client-go/applyconfigurations/core/v1"
	applydiscovery "k8s.io/client-go/applyconfigurations/discovery/v1"
	"k8s.io/client-go/kubernetes"
)

// The Service by which pods and nodes reach the cluster DNS. It has no pods: its
// endpoints are the addresses that the DNS listens on.
const (
	serviceNamespace = metav1.NamespaceSystem
	dnsService       = "kube-dns"
	fieldManager     = "fairlead-lab"
)

// publish makes the Service and its endpoints as they have to be. It tries until
// ctx ends: the API server may start later, and its roles after it.
func publish(ctx context.Context, client kubernetes.Interface, cfg Config) error {
	if len(cfg.ServiceIPs) == 0 {
		return nil
	}
	var last error
	err := wait.PollUntilContextCancel(ctx, 500*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		last = apply(ctx, client, cfg)
		if apierrors.IsInvalid(last) {
			return false, last // what the API server will not have, it will not have later either
		}
		if last != nil {
			cfg.Logger.Info("Service not published yet", "error", last)
		}
		return last == nil, nil
	})
	if err != nil && last != nil {
		return fmt.Errorf("%w: %w", err, last)
	}
	return err
}

func apply(ctx context.Context, client kubernetes.Interface, cfg Config) error {
	opts := metav1.ApplyOptions{FieldManager: fieldManager, Force: true}
	if _, err := client.CoreV1().Services(serviceNamespace).Apply(ctx, desiredService(cfg.ServiceIPs), opts); err != nil {
		return err
	}
	for _, s := range desiredSlices(cfg.Listen) {
		if _, err := client.DiscoveryV1().EndpointSlices(serviceNamespace).Apply(ctx, s, opts); err != nil {
			return err
		}
	}
	return nil
}

// dnsPort is where clients of the Service ask.
const dnsPort = 53

var protocols = []struct {
	name     string
	protocol corev1.Protocol
}{{"dns", corev1.ProtocolUDP}, {"dns-tcp", corev1.ProtocolTCP}}

func desiredService(ips []netip.Addr) *applycore.ServiceApplyConfiguration {
	spec := applycore.ServiceSpec().WithType(corev1.ServiceTypeClusterIP).WithClusterIP(ips[0].String()).
		WithIPFamilyPolicy(corev1.IPFamilyPolicySingleStack)
	if len(ips) > 1 {
		spec.WithIPFamilyPolicy(corev1.IPFamilyPolicyRequireDualStack)
	}
	for _, ip := range ips {
		spec.WithClusterIPs(ip.String()).WithIPFamilies(ipFamily(ip))
	}
	for _, p := range protocols {
		spec.WithPorts(applycore.ServicePort().WithName(p.name).WithProtocol(p.protocol).WithPort(dnsPort))
	}
	return applycore.Service(dnsService, serviceNamespace).
		WithLabels(map[string]string{"k8s-app": dnsService}).WithSpec(spec)
}

func ipFamily(ip netip.Addr) corev1.IPFamily {
	if ip.Is4() {
		return corev1.IPv4Protocol
	}
	return corev1.IPv6Protocol
}

// desiredSlices returns one slice per address, because addresses may differ in
// their port.
func desiredSlices(listen []netip.AddrPort) []*applydiscovery.EndpointSliceApplyConfiguration {
	var out []*applydiscovery.EndpointSliceApplyConfiguration
	for i, a := range listen {
		family := discoveryv1.AddressType(ipFamily(a.Addr()))
		s := applydiscovery.EndpointSlice(fmt.Sprintf("%s-%d", dnsService, i), serviceNamespace).
			WithLabels(map[string]string{
				discoveryv1.LabelServiceName: dnsService,
				discoveryv1.LabelManagedBy:   fieldManager,
			}).
			WithAddressType(family).
			WithEndpoints(applydiscovery.Endpoint().WithAddresses(a.Addr().String()).
				WithConditions(applydiscovery.EndpointConditions().WithReady(true)))
		for _, p := range protocols {
			s.WithPorts(applydiscovery.EndpointPort().WithName(p.name).WithProtocol(p.protocol).WithPort(int32(a.Port())))
		}
		out = append(out, s)
	}
	return out
}
