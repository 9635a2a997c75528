package http1

import (
	"bytes"
	"errors"
	"io"
	"net/http/httputil"
	"regexp"
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

// decode follows a chunked body in one go.
func decode(b []byte) (data []byte, n int, err error) {
	var c Chunked
	for n < len(b) && !c.Done() {
		took, isData, err := c.Next(b[n:])
		if err != nil {
			return data, n, err
		}
		if isData {
			data = append(data, b[n:n+took]...)
		}
		n += took
	}
	if !c.Done() {
		err = io.ErrUnexpectedEOF
	}
	return data, n, err
}

func TestChunkedBodiesEndWhereTheyEnd(t *testing.T) {
	for name, c := range map[string]struct{ in, data, rest string }{
		"nothing":                      {"0\r\n\r\n", "", ""},
		"two chunks, then a request":   {"3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\nGET", "abc0123456789", "GET"},
		"extensions":                   {"3;a=b;c=\"d\"\r\nabc\r\n0 ; x\r\n\r\n", "abc", ""},
		"trailers":                     {"1\r\na\r\n0\r\nX: y\r\nZ:\r\n\r\nrest", "a", "rest"},
		"a size with padding":          {"1  \r\na\r\n0\t\r\n\r\n", "a", ""},
		"a size with leading zeros":    {"0003\r\nabc\r\n000\r\n\r\n", "abc", ""},
		"data that looks like framing": {"5\r\n0\r\n\r\n\r\n0\r\n\r\n", "0\r\n\r\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			data, n, err := decode([]byte(c.in))
			if err != nil || string(data) != c.data || c.in[n:] != c.rest {
				t.Errorf("got data %q, rest %q, error %v; want %q, %q", data, c.in[n:], err, c.data, c.rest)
			}
		})
	}
}

func TestWhatIsNoChunkedBodyIsRefused(t *testing.T) {
	for _, in := range []string{
		"\r\n", "x\r\n", "-1\r\na", "+1\r\na", "0x1\r\na", "1\na\r\n", "1\r\na\n", "1\r\nab\r\n", "1\r\na\r\r\n", "1\ra\r\n", ";x\r\n", " 1\r\na\r\n",
		"1;a\nb\r\na\r\n", "1;\x00\r\na\r\n", "0\n\n", "0\r\n\n", "1 1\r\na\r\n", "0\r\nX y: 1\r\n\r\n", "0\r\n: 1\r\n\r\n", "0\r\nX: 1\n\r\n", "0\r\nX: \x00\r\n\r\n", "0\r\n X: 1\r\n\r\n",
		"1000000000000000\r\n", "fffffffffffffffff\r\n", "1;" + string(bytes.Repeat([]byte("a"), maxChunkLine)) + "\r\na\r\n", "0\r\nX:" + string(bytes.Repeat([]byte("a"), maxTrailers)),
	} {
		var refusal *Refusal
		if _, n, err := decode([]byte(in)); !errors.As(err, &refusal) || refusal.Status != 400 {
			t.Errorf("%.40q: got %v after %d bytes, want 400", in, err, n)
		}
	}
}

// TestChunksDoNotDependOnHowBytesArrive encodes data and follows it in pieces.
func TestChunksDoNotDependOnHowBytesArrive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var wire, want []byte
		for _, chunk := range rapid.SliceOf(rapid.SliceOfN(rapid.Byte(), 1, 40)).Draw(t, "chunks") {
			wire = append(strconv.AppendInt(wire, int64(len(chunk)), 16), "\r\n"...)
			wire = append(append(wire, chunk...), "\r\n"...)
			want = append(want, chunk...)
		}
		wire = append(wire, "0\r\n\r\nNEXT"...)
		var c Chunked
		var got []byte
		n := 0
		for !c.Done() {
			piece := min(rapid.IntRange(1, 20).Draw(t, "piece"), len(wire)-n)
			took, data, err := c.Next(wire[n : n+piece])
			if err != nil {
				t.Fatal(err)
			}
			if data {
				got = append(got, wire[n:n+took]...)
			}
			n += took
		}
		if !bytes.Equal(got, want) || string(wire[n:]) != "NEXT" {
			t.Errorf("got %q and rest %q, want %q and NEXT", got, wire[n:], want)
		}
	})
}

// spacedExtension is white space before an extension, which RFC 9112 section 7.1.1
// has recipients take, and net/http refuses.
var spacedExtension = regexp.MustCompile(`[ \t];`)

// FuzzChunked compares with net/http's reader: what is let through, that reads
// as the same data.
func FuzzChunked(f *testing.F) {
	f.Add([]byte("3\r\nabc\r\n0\r\n\r\n"))
	f.Add([]byte("3;x=y\r\nabc\r\n0\r\nT: v\r\n\r\nrest"))
	f.Fuzz(func(t *testing.T, b []byte) {
		data, n, err := decode(b)
		if err != nil {
			return
		}
		theirs, err := io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(b[:n])))
		if refused := err != nil && spacedExtension.Match(b[:n]); !refused && (err != nil || !bytes.Equal(theirs, data)) {
			t.Fatalf("%q: got %q, net/http reads %q, %v", b, data, theirs, err)
		}
		var c Chunked
		if again, err := c.Scan(b); err != nil || again != n {
			t.Fatalf("%q: Scan took %d of %d: %v", b, again, n, err)
		}
	})
}
