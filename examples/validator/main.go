// Command validator checks what clients send with go-playground/validator.
//
//	cd examples/validator && go run .
//
// The tags of a field say what is allowed,
//
//	type Signup struct {
//		Email    string `json:"email" validate:"required,email"`
//		Password string `json:"password" validate:"min=8"`
//	}
//
// and the router is told once how to check that:
//
//	router := wsrouter.New(&wsrouter.Options{Validate: newValidate()})
//
// From then on no handler sees a Signup that violates a rule, whether the handler
// calls Context.Bind or is registered with wsrouter.Handle. A client that sends
//
//	{"event":"signup","data":{"email":"ann","password":"secret"},"id":1}
//
// is told everything that is wrong at once, in the names it knows, and without the
// values:
//
//	{"event":"exception","data":{"status":"error","message":"invalid data","code":"invalid","data":[
//		{"field":"email","rule":"email"},
//		{"field":"password","rule":"min","param":"8"}]},"re":1}
//
// A body that does not fit the Go type is rejected by Bind before that, with the
// same code "invalid", a message such as "password: expected a string, got a
// number", and no list.
//
// To use this in your own service, copy validate.go.
package main

import (
	"log"
	"net/http"
	"time"

	"github.com/wsrouter/wsrouter"
)

// Signup is the data of the event "signup".
type Signup struct {
	Email    string   `json:"email" validate:"required,email"`
	Password string   `json:"password" validate:"min=8"`
	Address  Address  `json:"address"`
	Tags     []string `json:"tags" validate:"max=3,dive,min=2"`
}

// Address is part of a Signup; the validator checks nested structs on its own.
type Address struct {
	City string `json:"city" validate:"required"`
}

func main() {
	server := &http.Server{Addr: "127.0.0.1:3002", Handler: newRouter(), ReadHeaderTimeout: 5 * time.Second}
	log.Printf("listening on ws://%s", server.Addr)
	log.Fatal(server.ListenAndServe())
}

func newRouter() *wsrouter.Router {
	router := wsrouter.New(&wsrouter.Options{Validate: newValidate()})
	wsrouter.Handle(router, "signup", func(_ *wsrouter.Context, in Signup) (string, error) {
		return "welcome, " + in.Email, nil
	})
	wsrouter.Handle(router, "move", func(_ *wsrouter.Context, to []Address) (int, error) {
		return len(to), nil
	})
	return router
}
