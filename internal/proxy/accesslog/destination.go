package accesslog

import (
	"fmt"
	"net/netip"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// Destination is where the lines of a listener's address go. Listeners of one
// load balancer on one address share it.
type Destination struct {
	Bucket, Prefix string
	Interval       time.Duration // 5 or 60 minutes
	Balancer       string        // ARN: it has the region, the account and the resource ID
	Address        netip.Addr    // of the load balancer's node
}

// resource is the load balancer's resource ID: a Classic one's name, or
// net/NAME/ID.
func (d *Destination) resource() string {
	_, id, _ := strings.Cut(d.Balancer, ":loadbalancer/")
	return id
}

// ends is when the interval is over in which now lies: intervals begin at full
// hours and their fractions.
func (d *Destination) ends(now time.Time) time.Time {
	return now.UTC().Truncate(d.Interval).Add(d.Interval)
}

// object is the path of a log file, its bucket first (user guides for Classic and
// Network Load Balancers, access log files). random keeps files of one interval
// apart.
func (d *Destination) object(end time.Time, random string) (string, error) {
	arn := strings.SplitN(d.Balancer, ":", 6)
	if len(arn) != 6 || d.resource() == "" || d.Interval <= 0 {
		return "", fmt.Errorf("access log of %q: the ARN is not a load balancer's, or the interval %v is none", d.Balancer, d.Interval)
	}
	region, account := arn[3], arn[4]
	name := fmt.Sprintf("%s_elasticloadbalancing_%s_%s", account, region, d.file(end.Format("20060102T1504Z"), random))
	object := path.Join(d.Bucket, d.Prefix, "AWSLogs", account, "elasticloadbalancing", region, end.Format("2006/01/02"), name)
	first, _, _ := strings.Cut(object, "/")
	if !filepath.IsLocal(object) || first != d.Bucket {
		return "", fmt.Errorf("access log of %q: bucket %q and prefix %q make no path below a bucket", d.Balancer, d.Bucket, d.Prefix)
	}
	return object, nil
}

// file is what a log file's name says after the account and the region. Files of
// Network Load Balancers are compressed.
func (d *Destination) file(end, random string) string {
	id := d.resource()
	if !strings.Contains(id, "/") {
		return fmt.Sprintf("%s_%s_%s_%s.log", id, end, d.Address, random)
	}
	return fmt.Sprintf("%s_%s_%s.log%s", strings.ReplaceAll(id, "/", "."), end, random, compressed)
}
