package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/wsrouter/wsrouter"
)

func Example() {
	router := wsrouter.New(&wsrouter.Options{Validate: newValidate()})
	wsrouter.Handle(router, "signup", func(_ *wsrouter.Context, in Signup) (string, error) {
		return "welcome, " + in.Email, nil
	})

	client, err := router.Connect(context.Background(), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	_, err = wsrouter.Call[string](context.Background(), client, "signup",
		Signup{Email: "ann@example.org", Password: "secret", Tags: []string{"go", "x"}})

	var failed *wsrouter.WsError
	if errors.As(err, &failed) {
		data, _ := json.MarshalIndent(failed.Data, "", " ")
		fmt.Printf("%s (%s)\n%s\n", failed.Message, failed.Code, data)
	}
	// Output:
	// invalid data (invalid)
	// [
	//  {
	//   "field": "password",
	//   "param": "8",
	//   "rule": "min"
	//  },
	//  {
	//   "field": "address.city",
	//   "rule": "required"
	//  },
	//  {
	//   "field": "tags[1]",
	//   "param": "2",
	//   "rule": "min"
	//  }
	// ]
}
