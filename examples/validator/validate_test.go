package main

import (
	"encoding/json"
	"log/slog"
	"os"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/wsroutertest"
)

func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	os.Exit(m.Run())
}

// TestFrames sends bodies and compares what the client is told.
func TestFrames(t *testing.T) {
	exception := func(data ...Failure) any {
		return map[string]any{"status": "error", "message": "invalid data", "code": "invalid", "data": data}
	}
	shape := func(message string) any {
		return map[string]any{"status": "error", "message": message, "code": "invalid"}
	}
	tests := []struct {
		event, body string
		name        string
		want        any
	}{
		{"signup", `{"email":"ann@example.org","password":"12345678","address":{"city":"Ulm"}}`,
			"signup", "welcome, ann@example.org"},
		{"signup", `{"email":"ann","password":"secret","address":{"city":"Ulm"}}`,
			"exception", exception(Failure{"email", "email", ""}, Failure{"password", "min", "8"})},
		{"signup", `{"email":"ann@example.org","password":"12345678","tags":["a","bb"]}`,
			"exception", exception(Failure{"address.city", "required", ""}, Failure{"tags[0]", "min", "2"})},
		{"signup", `null`,
			"exception", exception(Failure{"email", "required", ""}, Failure{"password", "min", "8"}, Failure{"address.city", "required", ""})},
		{"signup", `{"password":8}`, "exception", shape("password: expected a string, got a number")},
		{"signup", `[]`, "exception", shape("data: expected an object, got an array")},
		{"move", `[{"city":"Ulm"},{"city":"Rom"}]`, "move", 2},
		{"move", `[]`, "move", 0},
		{"move", `[{"city":"Ulm"},{}]`, "exception", exception(Failure{"[1].city", "required", ""})},
	}
	for _, test := range tests {
		t.Run(test.event+test.body, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client := wsroutertest.Connect(t, newRouter(), nil)
				require.NoError(t, client.Emit(test.event, json.RawMessage(test.body)))
				client.Expect(test.name, test.want)
				client.ExpectNothing()
			})
		})
	}
}

// TestBind checks that a handler which calls Bind itself is protected as well.
func TestBind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := wsrouter.New(&wsrouter.Options{Validate: newValidate()})
		router.On("move", func(c *wsrouter.Context) error {
			var to Address
			err := c.Bind(&to)
			require.ErrorIs(t, err, errInvalid)
			return err
		})
		client := wsroutertest.Connect(t, router, nil)
		err := client.Call(t.Context(), "move", Address{}, nil)
		var failed *wsrouter.WsError
		require.ErrorAs(t, err, &failed)
		require.Equal(t, wsrouter.CodeInvalid, failed.Code)
	})
}

type Person struct {
	Name string `json:"name" validate:"required"`
}

type generic[T any] struct {
	Value T `json:"value"`
}

// TestFieldNames checks that fields have the names that encoding/json uses.
func TestFieldNames(t *testing.T) {
	person := &Person{}
	tests := []struct {
		name string
		v    any
		want string
	}{
		{"json tag", &struct {
			A int `json:"a,omitempty" validate:"required"`
		}{}, "a"},
		{"options only", &struct {
			A int `json:",omitempty" validate:"required"`
		}{}, "A"},
		{"no tag", &struct {
			A int `validate:"required"`
		}{}, "A"},
		{"not in JSON", &struct {
			A int `json:"-" validate:"required"`
		}{}, "A"},
		{"embedded", &struct{ Person }{}, "name"},
		{"embedded pointer", &struct{ *Person }{&Person{}}, "name"},
		{"embedded under a name", &struct {
			Person `json:"person"`
		}{}, "person.name"},
		{"generic type", &generic[Person]{}, "value.name"},
		{"pointer", &person, "name"},
		{"slice", &[]Person{{"Ann"}, {}}, "[1].name"},
		{"slices", &[][]*Person{{{"Ann"}}, {{"Ann"}, nil, {}}}, "[1][2].name"},
		{"map", &map[string]Person{"ann": {}}, "[ann].name"},
	}
	validate := newValidate()
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var failed *wsrouter.WsError
			require.ErrorAs(t, validate(test.v), &failed)
			require.Equal(t, []Failure{{test.want, "required", ""}}, failed.Data)
		})
	}
}

// TestNothingToCheck checks that values without tags pass, whatever they are.
func TestNothingToCheck(t *testing.T) {
	var null *Person
	var tree any = map[string]any{"a": []any{nil, 1.0}}
	text, list := strings.Repeat("x", 1000), [][]int{{0}, nil}
	validate := newValidate()
	for _, v := range []any{&null, &tree, &text, &list, new(int), &[]byte{0}, &[]any{nil}, &[]Person{}, &json.RawMessage{'1'}} {
		require.NoError(t, validate(v), "%T", v)
	}
}
