//go:generate go run ./requiredgen

package wire

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// shape is the compiled form of a Go type: what decoder and encoder need to
// know about it, worked out once when an Action is made.
type shape struct {
	kind    kind
	typ     reflect.Type // without the pointer
	pointer bool
	fields  []field  // structures
	elem    *shape   // lists and maps (the value; keys are strings)
	enum    []string // enums: the values that are known
}

type kind int

const (
	kindString kind = iota
	kindBool
	kindInt
	kindFloat
	kindTime
	kindText // implements encoding.TextMarshaler and TextUnmarshaler, such as netip.Prefix
	kindList
	kindMap
	kindStruct
)

// field is a member of a structure.
type field struct {
	index     []int  // path from the structure through embedded ones
	in        string // name in requests
	out       string // name in responses
	required  bool
	omitEmpty bool
	shape     *shape
}

// dialect is where the Query and EC2 protocols differ in naming.
type dialect struct {
	listInfix string                                                // between a list's name and the index in requests
	listItem  string                                                // element name in responses
	naming    func(reflect.Type, reflect.StructField) (field, bool) // false: not a wire member
}

var (
	queryDialect = dialect{listInfix: "member.", listItem: "member", naming: sdkField}
	ec2Dialect   = dialect{listItem: "item", naming: taggedField}
)

// sdkField names a member of an SDK struct: as the field. The ELB and ELBv2
// models never override that; STS does once.
func sdkField(t reflect.Type, f reflect.StructField) (field, bool) {
	if !f.IsExported() || f.Name == "ResultMetadata" {
		return field{}, false
	}
	name := f.Name
	if t.Name() == "PolicyDescriptorType" && name == "Arn" {
		name = "arn"
	}
	return field{in: name, out: name, required: isRequired(t, f.Name), omitEmpty: true}, true
}

// taggedField names a member of one of our EC2 structs.
func taggedField(_ reflect.Type, f reflect.StructField) (field, bool) {
	tag, ok := f.Tag.Lookup("ec2")
	if !ok {
		return field{}, false
	}
	name, options, _ := strings.Cut(tag, ",")
	opts := strings.Split(options, ",")
	return field{
		in: name, out: lowerFirst(name),
		required:  slices.Contains(opts, "required"),
		omitEmpty: slices.Contains(opts, "omitempty"),
	}, true
}

// isRequired looks into the table made from the SDK's validators, keyed by the
// type's path below the SDK's service directory.
func isRequired(t reflect.Type, name string) bool {
	_, path, ok := strings.Cut(t.PkgPath(), "/aws-sdk-go-v2/service/")
	return ok && slices.Contains(requiredMembers[path+"."+t.Name()], name)
}

// compile works out the shape of a type. It panics on types that no AWS model
// has: that is a mistake in the program, found by the first test that makes the
// action.
func compile(t reflect.Type, d dialect) *shape {
	return compiler{d, map[reflect.Type]*shape{}}.shape(t)
}

type compiler struct {
	dialect
	seen map[reflect.Type]*shape
}

var (
	timeType   = reflect.TypeFor[time.Time]()
	textIn     = reflect.TypeFor[encoding.TextUnmarshaler]()
	textOut    = reflect.TypeFor[encoding.TextMarshaler]()
	stringType = reflect.TypeFor[string]()
)

func (c compiler) shape(t reflect.Type) *shape {
	if s, ok := c.seen[t]; ok {
		return s
	}
	s := &shape{typ: t}
	c.seen[t] = s
	if t.Kind() == reflect.Pointer {
		s.pointer, s.typ = true, t.Elem()
	}
	switch t := s.typ; {
	case t == timeType:
		s.kind = kindTime
	case t.Implements(textOut) && reflect.PointerTo(t).Implements(textIn):
		s.kind = kindText
	default:
		c.byKind(s)
	}
	return s
}

func (c compiler) byKind(s *shape) {
	switch t := s.typ; t.Kind() {
	case reflect.String:
		s.kind, s.enum = kindString, enumValues(t)
	case reflect.Bool:
		s.kind = kindBool
	case reflect.Int, reflect.Int32, reflect.Int64, reflect.Uint16:
		s.kind = kindInt
	case reflect.Float64:
		s.kind = kindFloat
	case reflect.Slice:
		s.kind, s.elem = kindList, c.shape(t.Elem())
	case reflect.Map:
		if t.Key() != stringType {
			panic(fmt.Sprintf("wire: map with keys of type %v in %v", t.Key(), t))
		}
		s.kind, s.elem = kindMap, c.shape(t.Elem())
	case reflect.Struct:
		s.kind, s.fields = kindStruct, c.structFields(t)
	default:
		panic(fmt.Sprintf("wire: type %v has no form on the wire", t))
	}
}

// structFields lists the members of a structure and of those embedded in it.
func (c compiler) structFields(t reflect.Type) []field {
	var fields []field
	for i := range t.NumField() {
		sf := t.Field(i)
		if f, ok := c.naming(t, sf); ok {
			f.index, f.shape = []int{i}, c.shape(sf.Type)
			fields = append(fields, f)
		} else if sf.Anonymous && sf.IsExported() && sf.Type.Kind() == reflect.Struct {
			for _, f := range c.structFields(sf.Type) {
				f.index = append([]int{i}, f.index...)
				fields = append(fields, f)
			}
		}
	}
	return fields
}

// enumValues returns the values of an SDK enum type by its Values method.
func enumValues(t reflect.Type) []string {
	m, ok := t.MethodByName("Values")
	if !ok {
		return nil
	}
	values := m.Func.Call([]reflect.Value{reflect.Zero(t)})[0]
	out := make([]string, values.Len())
	for i := range out {
		out[i] = values.Index(i).String()
	}
	return out
}

func lowerFirst(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	return string(unicode.ToLower(r)) + s[n:]
}
