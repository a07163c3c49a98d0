package main

import (
	"errors"
	"reflect"
	"strings"

	"github.com/go-playground/validator/v10"

	"github.com/wsrouter/wsrouter"
)

// Failure is a rule that a field violates. It does not contain the value, which may
// be a password.
type Failure struct {
	Field string `json:"field"`           // path in the JSON: "email", "address.city", "tags[0]"
	Rule  string `json:"rule"`            // the validator's tag: "required", "min"
	Param string `json:"param,omitempty"` // the rule's parameter: "8" in min=8
}

var errInvalid = wsrouter.NewError("invalid data").WithCode(wsrouter.CodeInvalid)

// newValidate returns a function for Options.Validate. It checks structs, including
// those in slices and maps; nothing else that Bind stores has tags. It is safe for
// concurrent use. It panics when a type with a tag that the validator does not know
// is bound for the first time.
func newValidate() func(v any) error {
	validate := validator.New(validator.WithRequiredStructEnabled())
	validate.RegisterTagNameFunc(jsonName)
	return func(v any) error {
		value := reflect.ValueOf(v) // a pointer, as Bind takes it
		for value.Kind() == reflect.Pointer && !value.IsNil() {
			value = value.Elem()
		}
		if value.Kind() == reflect.Struct {
			return explain(value.Type(), validate.Struct(value.Interface()))
		}
		if dive := diveTo(value.Type()); dive != "" {
			return explain(value.Type(), validate.Var(value.Interface(), dive))
		}
		return nil
	}
}

// diveTo returns the tag that leads the validator through slices and maps to the
// structs in them: "dive,dive" for a [][]Address. It is empty for a type that
// contains none, so that not every byte of a []byte is visited.
func diveTo(t reflect.Type) string {
	var dives []string
	for {
		switch t.Kind() {
		case reflect.Slice, reflect.Array, reflect.Map:
			dives = append(dives, "dive")
		case reflect.Pointer:
		case reflect.Struct:
			return strings.Join(dives, ",")
		default:
			return ""
		}
		t = t.Elem()
	}
}

// explain makes one error for the client from everything the validator has found.
func explain(t reflect.Type, err error) error {
	var broken validator.ValidationErrors
	if !errors.As(err, &broken) {
		return err
	}
	list := make([]Failure, len(broken))
	for i, b := range broken {
		path := strings.TrimPrefix(b.Namespace(), t.Name()+".")
		list[i] = Failure{
			Field: strings.ReplaceAll(path, embedded+".", ""),
			Rule:  b.Tag(),
			Param: b.Param(),
		}
	}
	return errInvalid.WithData(list)
}

// embedded is the name of structs whose fields JSON puts next to the outer ones.
const embedded = "\x00"

// jsonName returns the name that encoding/json uses for a field.
func jsonName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	switch {
	case name == "" && f.Anonymous:
		return embedded
	case name == "" || name == "-":
		return f.Name
	}
	return name
}
