package wire

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxProblems bounds the problems listed in one error.
const maxProblems = 20

// decoder turns a form into a Go value. Malformed input stops it; values that
// do not fit the model are collected, because AWS reports them together.
type decoder struct {
	dialect
	form     form
	problems []problem
	more     int // problems beyond maxProblems
}

// problem is a member that does not fit the model.
type problem struct {
	path       string // as in the request, such as Actions.member.1.Type
	value      string // empty when missing
	missing    bool
	constraint string // AWS's wording; empty when missing
}

func (d *decoder) report(p problem) {
	if len(d.problems) == maxProblems {
		d.more++
		return
	}
	d.problems = append(d.problems, p)
}

// value decodes what is at path into v. It reports whether anything was there.
func (d *decoder) value(s *shape, path string, v reflect.Value) (bool, error) {
	switch s.kind {
	case kindStruct:
		return d.structure(s, path, v)
	case kindList:
		return d.list(s, path, v)
	case kindMap:
		return d.mapping(s, path, v)
	}
	raw, ok := d.form.get(path)
	if !ok {
		if len(d.form.under(path+".")) > 0 {
			return false, Errorf(codeMalformed, "Start of structure or map found where not expected: '%s'.", quotable(path))
		}
		return false, nil
	}
	if s.pointer {
		v.Set(reflect.New(s.typ))
		v = v.Elem()
	}
	if constraint := setScalar(s, raw, v); constraint != "" {
		d.report(problem{path: path, value: raw, constraint: constraint})
	}
	return true, nil
}

// structure decodes members. At the top, path is empty and the structure is
// always there; below, its required members count only when it is there at all
// (`Tags.member.1=` is an empty structure that is there).
func (d *decoder) structure(s *shape, path string, v reflect.Value) (bool, error) {
	prefix := path
	if path != "" {
		prefix += "."
		if _, empty := d.form.get(path); !empty && len(d.form.under(prefix)) == 0 {
			return false, nil
		}
	}
	if s.pointer {
		v.Set(reflect.New(s.typ))
		v = v.Elem()
	}
	for _, f := range s.fields {
		present, err := d.value(f.shape, prefix+f.in, v.FieldByIndex(f.index))
		if err != nil {
			return false, err
		}
		if f.required && !present {
			d.report(problem{path: prefix + f.in, missing: true})
		}
	}
	return true, nil
}

func (d *decoder) list(s *shape, path string, v reflect.Value) (bool, error) {
	if raw, ok := d.form.get(path); ok {
		if raw != "" {
			return false, Errorf(codeMalformed, "Unexpected list element termination: '%s' is a list.", quotable(path))
		}
		v.Set(reflect.MakeSlice(s.typ, 0, 0))
		return true, nil
	}
	prefix := path + "." + d.listInfix
	indexes, err := d.form.indexes(prefix)
	if err != nil || len(indexes) == 0 {
		return false, err
	}
	v.Set(reflect.MakeSlice(s.typ, len(indexes), len(indexes)))
	for i, index := range indexes {
		if _, err := d.value(s.elem, prefix+strconv.Itoa(index), v.Index(i)); err != nil {
			return false, err
		}
	}
	return true, nil
}

func (d *decoder) mapping(s *shape, path string, v reflect.Value) (bool, error) {
	prefix := path + ".entry."
	indexes, err := d.form.indexes(prefix)
	if err != nil || len(indexes) == 0 {
		return false, err
	}
	v.Set(reflect.MakeMapWithSize(s.typ, len(indexes)))
	for _, index := range indexes {
		entry := prefix + strconv.Itoa(index)
		key, ok := d.form.get(entry + ".key")
		if !ok {
			return false, Errorf(codeMalformed, "Map entry without a key: '%s'.", quotable(entry))
		}
		value := reflect.New(s.typ.Elem()).Elem()
		if _, err := d.value(s.elem, entry+".value", value); err != nil {
			return false, err
		}
		v.SetMapIndex(reflect.ValueOf(key), value)
	}
	return true, nil
}

// setScalar parses raw into v and returns the constraint that it breaks, in
// AWS's words, or "".
func setScalar(s *shape, raw string, v reflect.Value) string {
	switch s.kind {
	case kindString:
		v.SetString(raw)
		if s.enum != nil && !slices.Contains(s.enum, raw) {
			return "Member must satisfy enum value set: [" + strings.Join(s.enum, ", ") + "]"
		}
	case kindBool:
		if raw != "true" && raw != "false" {
			return "Member must be a boolean: true or false"
		}
		v.SetBool(raw == "true")
	case kindInt:
		return setInt(raw, v)
	case kindFloat:
		n, err := strconv.ParseFloat(raw, 64)
		if err != nil {
			return "Member must be a number"
		}
		v.SetFloat(n)
	case kindTime:
		t, err := time.Parse(time.RFC3339, raw)
		if err != nil {
			return "Member must be an ISO 8601 timestamp such as 2006-01-02T15:04:05Z"
		}
		v.Set(reflect.ValueOf(t.UTC()))
	case kindText:
		if err := v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(raw)); err != nil {
			return fmt.Sprintf("Member must be a valid %s", strings.ToLower(s.typ.Name()))
		}
	}
	return ""
}

func setInt(raw string, v reflect.Value) string {
	if v.CanUint() {
		n, err := strconv.ParseUint(raw, 10, v.Type().Bits())
		if err != nil {
			return fmt.Sprintf("Member must be an integer between 0 and %d", uint64(1)<<v.Type().Bits()-1)
		}
		v.SetUint(n)
		return ""
	}
	n, err := strconv.ParseInt(raw, 10, v.Type().Bits())
	if err != nil {
		return fmt.Sprintf("Member must be an integer of %d bits", v.Type().Bits())
	}
	v.SetInt(n)
	return ""
}
