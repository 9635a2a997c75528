package wire

import (
	"bytes"
	"cmp"
	"encoding"
	"encoding/xml"
	"reflect"
	"slices"
	"strconv"
	"time"
)

// timeFormat is ISO 8601 in UTC with milliseconds, as AWS writes it.
const timeFormat = "2006-01-02T15:04:05.000Z"

// encoder writes Go values as the XML of a dialect.
type encoder struct {
	dialect
	buf *bytes.Buffer
}

// members writes the members of the structure v. At the top of a response even
// absent lists are written, as empty elements: boto3 has no key for them
// otherwise and its users' programs fail.
func (e encoder) members(s *shape, v reflect.Value, top bool) {
	for _, f := range s.fields {
		e.member(f, v.FieldByIndex(f.index), top && f.shape.kind == kindList)
	}
}

func (e encoder) member(f field, v reflect.Value, always bool) {
	if absent(f.shape, v, f.omitEmpty) && !always {
		return
	}
	e.element(f.out, f.shape, v)
}

// absent reports whether a member has no value. In SDK structs an unset enum is
// the empty string; nil lists, maps and pointers are absent everywhere.
func absent(s *shape, v reflect.Value, omitEmpty bool) bool {
	switch {
	case s.pointer:
		return v.IsNil()
	case !omitEmpty:
		return false
	case s.kind == kindList || s.kind == kindMap:
		return v.IsNil()
	case s.kind == kindBool || s.kind == kindInt || s.kind == kindFloat:
		return false
	}
	return v.IsZero()
}

func (e encoder) element(name string, s *shape, v reflect.Value) {
	if s.pointer {
		if v.IsNil() { // an element of a list
			v = reflect.Zero(s.typ)
		} else {
			v = v.Elem()
		}
	}
	e.open(name)
	switch s.kind {
	case kindStruct:
		e.members(s, v, false)
	case kindList:
		for i := range v.Len() {
			e.element(e.listItem, s.elem, v.Index(i))
		}
	case kindMap:
		e.entries(s, v)
	default:
		e.text(scalar(s, v))
	}
	e.close(name)
}

func (e encoder) entries(s *shape, v reflect.Value) {
	keys := v.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int { return cmp.Compare(a.String(), b.String()) })
	for _, key := range keys {
		e.open("entry")
		e.open("key")
		e.text(key.String())
		e.close("key")
		e.element("value", s.elem, v.MapIndex(key))
		e.close("entry")
	}
}

func scalar(s *shape, v reflect.Value) string {
	switch s.kind {
	case kindBool:
		return strconv.FormatBool(v.Bool())
	case kindInt:
		if v.CanUint() {
			return strconv.FormatUint(v.Uint(), 10)
		}
		return strconv.FormatInt(v.Int(), 10)
	case kindFloat:
		return strconv.FormatFloat(v.Float(), 'g', -1, 64)
	case kindTime:
		return v.Interface().(time.Time).UTC().Format(timeFormat)
	case kindText:
		text, err := v.Interface().(encoding.TextMarshaler).MarshalText()
		if err != nil { // netip types never fail
			return ""
		}
		return string(text)
	}
	return v.String()
}

func (e encoder) open(name string)  { e.buf.WriteString("<" + name + ">") }
func (e encoder) close(name string) { e.buf.WriteString("</" + name + ">") }

// text writes escaped text. Characters that XML cannot hold become U+FFFD.
func (e encoder) text(s string) {
	_ = xml.EscapeText(e.buf, []byte(s)) // a bytes.Buffer never fails
}
