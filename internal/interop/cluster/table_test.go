package cluster

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// row is what one node does, and to whom. The other nodes' clients, and its own,
// must see exactly that.
type row struct {
	name   string
	to     target
	args   string // of an emit, as value_test.go says
	times  int    // how often; zero means once
	event  string // "" means "event"
	by     string // a client of the node that asks for it, such as "a"; "" means nobody
	change string // in place of an emit: join, leave or disconnect
	rooms  []string
	option string // "volatile", "close" or "large"; or "node" or "go", for these nodes only

	// Only Node plays rows for which Go has no value, and only Go plays those that
	// Node's notepack encodes wrongly. Each plays the large rows once.
}

var (
	r1    = target{rooms: []string{"r1"}}
	r1r2  = target{rooms: []string{"r1", "r2"}}
	every = target{}
	other = target{rooms: []string{"@other/c"}}
)

// long returns n characters.
func long(n int) string { return strings.Repeat("x", n) }

// table is what every kind of node plays.
var table = slices.Concat(targets, values(), changes)

var targets = []row{
	{name: "all", to: every, args: `["hi"]`},
	{name: "a room", to: r1, args: `["hi"]`},
	{name: "a room of a few", to: target{rooms: []string{"r2"}}, args: `["hi"]`},
	{name: "a union of rooms", to: r1r2, args: `["hi"]`},
	{name: "all but a room", to: target{except: []string{"r1"}}, args: `["hi"]`},
	{name: "all but two rooms", to: target{except: []string{"r1", "r2"}}, args: `["hi"]`},
	{name: "a room but another", to: target{rooms: []string{"r1"}, except: []string{"r2"}}, args: `["hi"]`},
	{name: "a union but nobody", to: target{rooms: []string{"r1", "r2"}, except: []string{"none"}}, args: `["hi"]`},
	{name: "a room where nobody is", to: target{rooms: []string{"none"}}, args: `["hi"]`},
	{name: "one client", to: other, args: `["hi"]`},
	{name: "one client of its own", to: target{rooms: []string{"@own/c"}}, args: `["hi"]`},
	{name: "to one client a long list and a large object", to: other, args: `[[` + strings.Repeat("1,", 1<<16) + `1],` + object(1<<16) + `]`, option: "large"},
	{name: "to one client long texts and bytes", to: other, args: fmt.Sprintf(`[%q,%q,{"$bytes":"%s"}]`, long(65535), long(65536), strings.Repeat("AQID", 100_000)), option: "large"},
	{name: "all but one client", to: target{except: []string{"@other/a"}}, args: `["hi"]`},
	{name: "a namespace", to: target{namespace: "/chat"}, args: `["hi"]`},
	{name: "a room of a namespace", to: target{namespace: "/chat", rooms: []string{"r1"}}, args: `["hi"]`},
	{name: "a namespace without clients", to: target{namespace: "/quiet"}, args: `["hi"]`},
	{name: "in each odd room", to: target{rooms: oddRooms}, args: `["hi"]`},
	{name: "the others, by a client", to: target{except: []string{"@own/b"}}, by: "b", args: `["hi"]`},
	{name: "its neighbours, by a client", to: target{rooms: []string{"r2"}, except: []string{"@own/b"}}, by: "b", args: `["hi"]`},
	{name: "a burst", to: every, args: `["hi"]`, times: 100},
	{name: "a burst into rooms", to: r1r2, args: `["hi"]`, times: 100},
	{name: "volatile", to: every, args: `["hi"]`, option: "volatile"},
	{name: "volatile to rooms", to: r1r2, args: `["hi",{"$bytes":"AQID"}]`, option: "volatile"},
	{name: "an event of odd name", to: every, args: `[1]`, event: "данные \"x\" 😀"},
	{name: "an event named message", to: every, args: `[1]`, event: "message"},
	{name: "an event named error", to: every, args: `[1]`, event: "error"},
	{name: "an event of long name", to: every, args: `[1]`, event: long(256)},
}

// values returns events to everybody.
func values() (rows []row) {
	for _, v := range []struct{ name, args, option string }{
		{"no argument", `[]`, ""},
		{"several arguments", `["a",1,true,null,{"k":[1,{"l":2}]}]`, ""},
		{"null", `[null]`, ""},
		{"undefined", `[{"$undefined":true},1,{"a":{"$undefined":true},"b":[{"$undefined":true}]}]`, "node"},
		{"an empty list and an empty object", `[[],{}]`, ""},
		{"unicode", `["数据不能为空！ 😀 é \u0000 \u2028 <&>",{"ключ":"é"}]`, ""},
		{"bytes", `[{"$bytes":"AQID"}]`, ""},
		{"no bytes", `[{"$bytes":""}]`, ""},
		{"bytes within", `[{"file":{"$bytes":"AB7/"},"more":[{"$bytes":"CQ=="},{"deep":{"$bytes":"CA=="}}],"n":1.5},"AQID",{"$bytes":"Bw=="}]`, ""},
		{"ten attachments", `[[` + strings.Repeat(`{"$bytes":"AQI="},`, 9) + `{"$bytes":"AQI="}]]`, ""},
		{"bytes of all sizes", `[{"$bytes":"` + strings.Repeat("AQID", 85) + `"},{"$bytes":"` + strings.Repeat("AQID", 86) + `"}]`, ""},
		{"text like a placeholder", `[{"text":"{\"_placeholder\":true,\"num\":0}"},{"$bytes":"AQID"}]`, ""},
		{"a date", `[{"$date":"2023-11-14T22:13:20.123Z"},{"at":{"$date":"2023-11-14T22:13:20.456Z"}}]`, ""},
		{"dates near and far", `[{"$date":"1970-01-01T00:00:00.001Z"},{"$date":"1969-07-20T20:17:40.501Z"},{"$date":"2600-01-01T00:00:00.251Z"}]`, ""},
		{"a date of whole seconds", `[{"$date":"2023-11-14T22:13:20.000Z"}]`, "node"},
		{"whole numbers", `[0,-1,127,128,255,256,65535,65536,-32,-33,-128,-129,-32768,-32769,2147483647,2147483648,-2147483649,4294967295,4294967296,1099511627776,9007199254740991,-9007199254740991]`, ""},
		{"other numbers", `[1.5,-0.1,5e-324,1.7976931348623157e-308,3.0,1e3]`, ""},
		{"large numbers", `[1e300,9007199254740993,1.7976931348623157e308,18446744073709551615,-9223372036854775808,18446744073709551616,123456789012345678901234567890]`, "go"},
		{"texts of all sizes", fmt.Sprintf(`["",%q,%q,%q,%q]`, long(31), long(32), long(255), long(256)), ""},
		{"lists of all sizes", fmt.Sprintf(`[[%s1],[%s1],[%s1]]`, strings.Repeat("1,", 14), strings.Repeat("1,", 15), strings.Repeat("1,", 299)), ""},
		{"objects of all sizes", fmt.Sprintf(`[%s,%s,%s]`, object(15), object(16), object(300)), ""},
		{"odd keys", `[{"":1,"a b":2,"1":3,"ключ":4,"toString":5,"$x":6}]`, ""},
		{"nested deep", `[` + strings.Repeat(`[{"a":`, 100) + `1` + strings.Repeat(`}]`, 100) + `]`, ""},
	} {
		rows = append(rows, row{name: v.name, to: every, args: v.args, option: v.option})
	}
	return rows
}

// object returns an object with n keys.
func object(n int) string {
	m := make(map[string]int, n)
	for i := range n {
		m[fmt.Sprint("key", i)] = i
	}
	data, _ := json.Marshal(m)
	return string(data)
}

// changes end with a disconnect of everybody in the namespace.
var changes = []row{
	{name: "join", to: r1, change: "join", rooms: []string{"new", "new 2"}},
	{name: "to those who joined", to: target{rooms: []string{"new"}}, args: `["hi"]`},
	{name: "leave", to: target{rooms: []string{"new", "r2"}, except: []string{"r2"}}, change: "leave", rooms: []string{"new"}},
	{name: "to those who stayed", to: target{rooms: []string{"new"}}, args: `["hi"]`},
	{name: "join of everybody", to: every, change: "join", rooms: []string{"everybody"}},
	{name: "join of one client", to: other, change: "join", rooms: []string{"alone"}},
	{name: "join in a namespace", to: target{namespace: "/chat", rooms: []string{"r1"}}, change: "join", rooms: []string{"new"}},
	{name: "to rooms of both namespaces", to: target{rooms: []string{"alone", "new"}}, args: `["hi"]`},
	{name: "leave of everybody", to: every, change: "leave", rooms: []string{"everybody", "new", "new 2", "alone"}},
	{name: "leave of what nobody is in", to: every, change: "leave", rooms: []string{"none"}},
	{name: "disconnect of one client", to: other, change: "disconnect"},
	{name: "disconnect of a room", to: target{rooms: []string{"r2"}}, change: "disconnect"},
	{name: "disconnect of all but a room", to: target{rooms: []string{"r1", "r2"}, except: []string{"1"}}, change: "disconnect", option: "close"},
	{name: "disconnect of a namespace", to: target{namespace: "/chat"}, change: "disconnect", option: "close"},
	{name: "disconnect of everybody", to: every, change: "disconnect"},
}
