package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
)

// codec decodes the input and encodes the output of one action.
type codec interface {
	decode(body body) (any, error)
	encode(out any, namespace, requestID string) ([]byte, error)
}

// body is a request body; form is parsed for the form protocols only.
type body struct {
	raw  []byte
	form form
}

// xmlCodec serves the Query and EC2 protocols.
type xmlCodec struct {
	action  string
	dialect dialect
	in, out *shape
	invalid func(*decoder) error                           // the error for members that do not fit
	frame   func(c *xmlCodec, e encoder, f frame, out any) // the XML around the members
}

// frame is what surrounds a result.
type frame struct{ namespace, requestID string }

func newQueryCodec[I, O any](action string) codec {
	return &xmlCodec{action, queryDialect, shapeOf[I](queryDialect), shapeOf[O](queryDialect), queryInvalid, queryFrame}
}

func newEC2Codec[I, O any](action string) codec {
	return &xmlCodec{action, ec2Dialect, shapeOf[I](ec2Dialect), shapeOf[O](ec2Dialect), ec2Invalid, ec2Frame}
}

func shapeOf[T any](d dialect) *shape { return compile(reflect.TypeFor[T](), d) }

func (c *xmlCodec) decode(b body) (any, error) {
	in := reflect.New(c.in.typ)
	d := &decoder{dialect: c.dialect, form: b.form}
	if _, err := d.value(c.in, "", in.Elem()); err != nil {
		return nil, err
	}
	if len(d.problems) > 0 {
		return nil, c.invalid(d)
	}
	return in.Interface(), nil
}

func (c *xmlCodec) encode(out any, namespace, requestID string) ([]byte, error) {
	e := encoder{c.dialect, new(bytes.Buffer)}
	c.frame(c, e, frame{namespace, requestID}, out)
	return e.buf.Bytes(), nil
}

// result writes the members of the output; a nil output has none.
func (c *xmlCodec) result(e encoder, out any) {
	v := reflect.Zero(c.out.typ)
	if out != nil {
		v = reflect.ValueOf(out).Elem()
	}
	e.members(c.out, v, true)
}

// queryFrame writes a Query response. The Result element is there even when
// the action has no result: clients look for it.
func queryFrame(c *xmlCodec, e encoder, f frame, out any) {
	fmt.Fprintf(e.buf, `<%sResponse xmlns="%s">`, c.action, f.namespace)
	e.open(c.action + "Result")
	c.result(e, out)
	e.close(c.action + "Result")
	e.buf.WriteString("<ResponseMetadata><RequestId>" + f.requestID + "</RequestId></ResponseMetadata>")
	e.close(c.action + "Response")
}

func ec2Frame(c *xmlCodec, e encoder, f frame, out any) {
	fmt.Fprintf(e.buf, `%s<%sResponse xmlns="%s">`, xmlHeader, c.action, f.namespace)
	e.buf.WriteString("<requestId>" + f.requestID + "</requestId>")
	if out == nil {
		e.buf.WriteString("<return>true</return>")
	} else {
		c.result(e, out)
	}
	e.close(c.action + "Response")
}

// queryInvalid words problems as AWS's query services do: all in one message.
func queryInvalid(d *decoder) error {
	texts := make([]string, len(d.problems))
	for i, p := range d.problems {
		if p.missing {
			texts[i] = fmt.Sprintf("Value null at '%s' failed to satisfy constraint: Member must not be null", memberPath(p.path))
			continue
		}
		texts[i] = fmt.Sprintf("Value '%s' at '%s' failed to satisfy constraint: %s", quotable(p.value), memberPath(p.path), p.constraint)
	}
	n := len(d.problems) + d.more
	noun := "errors"
	if n == 1 {
		noun = "error"
	}
	return ValidationErrorf("%d validation %s detected: %s", n, noun, strings.Join(texts, "; "))
}

// memberPath turns a parameter name into the path that AWS reports:
// Actions.member.1.Type becomes actions.1.member.type.
func memberPath(path string) string {
	segments := strings.Split(path, ".")
	for i, s := range segments {
		segments[i] = lowerFirst(s)
		if _, err := strconv.Atoi(s); err == nil && i > 0 {
			segments[i-1], segments[i] = s, segments[i-1]
		}
	}
	return strings.Join(segments, ".")
}

// ec2Invalid words the first problem: EC2 reports one at a time.
func ec2Invalid(d *decoder) error {
	p := d.problems[0]
	if p.missing {
		return Errorf("MissingParameter", "The request must contain the parameter %s", p.path)
	}
	return Errorf("InvalidParameterValue", "Value (%s) for parameter %s is invalid. %s.", quotable(p.value), p.path, p.constraint)
}

// jsonCodec serves the JSON 1.1 protocol.
type jsonCodec[I any] struct{}

func (jsonCodec[I]) decode(b body) (any, error) {
	in := new(I)
	if len(bytes.TrimSpace(b.raw)) == 0 {
		return in, nil
	}
	d := json.NewDecoder(bytes.NewReader(b.raw))
	if err := d.Decode(in); err != nil {
		return nil, jsonInvalid(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, Errorf("SerializationException", "The request body has more after its JSON value.")
	}
	return in, nil
}

func jsonInvalid(err error) error {
	if t, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return Errorf("SerializationException", "%s can not be converted to %s at '%s'.", t.Value, t.Type.Kind(), quotable(t.Field))
	}
	return Errorf("SerializationException", "The request body is not valid JSON.")
}

func (jsonCodec[I]) encode(out any, _, _ string) ([]byte, error) {
	if out == nil {
		return []byte("{}"), nil
	}
	return json.Marshal(out)
}
