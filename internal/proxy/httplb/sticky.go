package httplb

import (
	"bytes"
	"strconv"
	"time"

	"github.com/fairlead-lb/fairlead/internal/proxy/http1"
)

// The load balancer's cookies; the second is for requests across sites, with
// which browsers send cookies only if they say SameSite=None.
const (
	cookieName     = "AWSELB"
	cookieNameCORS = "AWSELBCORS"
)

// session finds the target that a request's cookies bind it to; empty: none.
// With an application's cookie the session lasts as long as that is sent.
func (v *view) session(r *http1.Request) string {
	if v.cookie == nil {
		return ""
	}
	if v.cookie.Application != "" {
		if _, ok := r.Cookie(v.cookie.Application); !ok {
			return ""
		}
	}
	for _, name := range []string{cookieName, cookieNameCORS} {
		if value, ok := r.Cookie(name); ok {
			if id, ok := v.target[string(value)]; ok {
				return id
			}
		}
	}
	return ""
}

// bind returns the Set-Cookie values that bind the client to a target. bound is
// the one that its request was bound to. The load balancer's cookie is not set
// again while the session lasts: its expiry is not refreshed.
func (v *view) bind(res *http1.Response, id, bound string) [][]byte {
	value, known := "", false
	if v.cookie != nil {
		value, known = v.value[id]
	}
	if !known {
		return nil
	}
	attributes := []byte(";PATH=/")
	switch {
	case v.cookie.Application != "":
		application, ok := res.SetsCookie(v.cookie.Application)
		if !ok {
			return nil
		}
		attributes = follow(application)
	case bound == id:
		return nil
	case v.cookie.Expiry > 0:
		attributes = append(attributes, ";MAX-AGE="...)
		attributes = strconv.AppendInt(attributes, int64(v.cookie.Expiry/time.Second), 10)
	}
	return [][]byte{setCookie(cookieName, value, attributes), setCookie(cookieNameCORS, value, acrossSites(attributes))}
}

func setCookie(name, value string, attributes []byte) []byte {
	b := make([]byte, 0, len(name)+1+len(value)+len(attributes))
	return append(append(append(append(b, name...), '='), value...), attributes...)
}

// follow takes over the attributes of an application's cookie, its lifetime
// above all. Underscores in its path are written %5F, as AWS does for the sake
// of old browsers (user guide for Classic Load Balancers, sticky sessions).
func follow(application []byte) []byte {
	var out []byte
	_, rest, _ := bytes.Cut(application, []byte(";"))
	for len(rest) > 0 {
		var attribute []byte
		attribute, rest, _ = bytes.Cut(rest, []byte(";"))
		if attribute = bytes.TrimSpace(attribute); len(attribute) == 0 {
			continue
		}
		if len(attribute) > 5 && bytes.EqualFold(attribute[:5], []byte("path=")) {
			attribute = bytes.ReplaceAll(attribute, []byte("_"), []byte("%5F"))
		}
		out = append(append(out, ';'), attribute...)
	}
	return out
}

// acrossSites replaces what would keep a cookie within its site.
func acrossSites(attributes []byte) []byte {
	var out []byte
	for a := range bytes.SplitSeq(attributes, []byte(";")) {
		name, _, _ := bytes.Cut(a, []byte("="))
		if len(a) > 0 && !bytes.EqualFold(name, []byte("samesite")) && !bytes.EqualFold(name, []byte("secure")) {
			out = append(append(out, ';'), a...)
		}
	}
	return append(out, ";SECURE;SAMESITE=None"...)
}
