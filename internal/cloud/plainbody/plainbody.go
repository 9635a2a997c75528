// Package plainbody lets an AWS SDK client talk to a server that is near.
//
// The SDK's request bodies can write themselves, and net/http lets them. The
// SDK also closes a body as soon as the response begins. A closed body that is
// then asked to write itself fails the connection under the response (smithy-go,
// safeWriteToReadCloser.WriteTo), where a plain Read would just find its end. A
// server on the same machine answers soon enough for that.
package plainbody

import (
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Client hides from next that request bodies can write themselves. A nil next is
// http.DefaultClient.
func Client(next aws.HTTPClient) aws.HTTPClient {
	if next == nil {
		next = http.DefaultClient
	}
	return client{next}
}

type client struct{ next aws.HTTPClient }

// Do implements aws.HTTPClient.
func (c client) Do(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		req.Body = struct{ io.ReadCloser }{req.Body}
	}
	return c.next.Do(req)
}
