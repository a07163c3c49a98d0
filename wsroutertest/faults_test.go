package wsroutertest_test

import (
	"bytes"
	"encoding/base64"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter/broker"
	"github.com/wsrouter/wsrouter/payload"
	"github.com/wsrouter/wsrouter/wsroutertest"
)

func TestAnHonestBrokerPasses(t *testing.T) {
	wsroutertest.TestBroker(t, func(testing.TB) *wsroutertest.BrokerCluster { return newWire("") })
}

// faults maps what can be wrong with a broker to the cases that must detect it.
var faults = map[string][]string{
	"loses some":                      {"Delivery", "ManyNodes", "Order"},
	"delivers twice":                  {"Delivery", "ManyNodes", "SharedBroker", "Order", "Back"},
	"its own routers apart":           {"SharedBroker"},
	"confuses namespaces":             {"Namespaces"},
	"once for each room":              {"Rooms", "Order"},
	"forgets exceptions":              {"Rooms"},
	"one room only":                   {"Rooms"},
	"knows no odd rooms":              {"RoomNames", "Namespaces"},
	"drops what is volatile":          {"Volatile"},
	"joins nobody":                    {"JoinAndLeave", "OwnMessages"},
	"leaves nobody":                   {"JoinAndLeave"},
	"disconnects nobody":              {"Disconnect"},
	"disconnects everybody":           {"Disconnect"},
	"finds nobody":                    {"Find", "SharedBroker", "FindWhileAway"},
	"finds its own":                   {"Find"},
	"finds no data":                   {"Find"},
	"finds no rooms":                  {"Find"},
	"echoes":                          {"Delivery", "OwnMessages"},
	"swaps neighbors":                 {"Order", "OrderOfOperations"},
	"rooms overtake":                  {"OrderOfOperations"},
	"Publish waits":                   {"NoWait"},
	"no bound":                        {"NoWait"},
	"drops without a count":           {"NoWait"},
	"first argument only":             {"Arguments"},
	"several as one":                  {"Arguments"},
	"garbles text":                    {"Arguments"},
	"bytes as text":                   {"ByteArguments"},
	"loses a byte":                    {"ByteArguments"},
	"nothing big":                     {"Big"},
	"writes to operations":            {"OperationsAreReadOnly"},
	"subscribes late":                 {"Subscribe"},
	"Subscribe waits for the network": {"SubscribeWhileAway"},
	"Subscribe fails while away":      {"SubscribeWhileAway"},
	"does not say unreached":          {"Unreached", "Back"},
	"does not say how long":           {"Unreached"},
	"is always away":                  {"Unreached"},
	"keeps operations":                {"Unreached"},
	"finds without an error":          {"FindWhileAway"},
	"never comes back":                {"Back", "Unreached", "SubscribeWhileAway", "FindWhileAway", "CloseWhileAway", "NoWait"},
	"comes back deaf":                 {"Back", "Unreached", "SubscribeWhileAway"},
	"comes back twice":                {"Back"},
	"queue out of order":              {"Back"},
	"publishes after Close":           {"Close"},
	"hears after Close":               {"Close"},
	"Close ends others":               {"Close", "Shutdown"},
	"Close waits for the network":     {"CloseWhileAway"},
	"leaks":                           {"Leaks"},
	"stops at garbage":                {"Garbage"},
	"emits garbage":                   {"Garbage"},
	"does not count garbage":          {"Garbage"},
}

func TestFaultsAreFound(t *testing.T) {
	findFaults(t, faults, wsroutertest.BrokerCases(), func(tb testing.TB, fault, name string) {
		wsroutertest.RunBrokerCase(tb, name, newWire(fault))
	})
}

// findFaults requires that each case fails for the faults that list it.
func findFaults(t *testing.T, faults map[string][]string, cases []string, run func(tb testing.TB, fault, name string)) {
	seen := make(map[string]bool)
	for _, fault := range slices.Sorted(maps.Keys(faults)) {
		t.Run(fault, func(t *testing.T) {
			for _, name := range faults[fault] {
				seen[name] = true
				synctest.Test(t, func(t *testing.T) {
					failure := fails(t, func(tb testing.TB) { run(tb, fault, name) })
					require.NotEmpty(t, failure, "%s passes what %s", name, fault)
					t.Logf("%s: %.300s", name, failure)
				})
			}
		})
	}
	for _, name := range cases {
		require.True(t, seen[name], "no fault shows that %s can fail", name)
	}
}

// distort returns what a faulty node makes of an operation.
func (n *wireNode) distort(op *broker.Operation) []*broker.Operation {
	switch n.fault {
	case "loses some":
		if n.turn++; n.turn%20 == 3 {
			return nil
		}
	case "delivers twice":
		return []*broker.Operation{op, op}
	case "swaps neighbors":
		if n.held == nil && op.Event != "fence" {
			n.held = op
			return nil
		}
		held := n.held
		if n.held = nil; held != nil {
			return []*broker.Operation{op, held}
		}
	case "once for each room":
		return eachRoom(op)
	case "one room only":
		op.To.Rooms = op.To.Rooms[:min(1, len(op.To.Rooms))]
	case "knows no odd rooms":
		if strings.ContainsAny(strings.Join(op.To.Rooms, ""), "#*") || slices.Equal(op.To.Rooms, []string{"b"}) {
			return nil
		}
	case "forgets exceptions":
		op.To.Except = nil
	case "drops what is volatile":
		if op.Volatile {
			return nil
		}
	case "joins nobody", "leaves nobody", "disconnects nobody", "disconnects everybody":
		return n.distortOperation(op)
	default:
		return n.distortArgs(op)
	}
	return []*broker.Operation{op}
}

func eachRoom(op *broker.Operation) (each []*broker.Operation) {
	if len(op.To.Rooms) == 0 {
		return append(each, op)
	}
	for _, room := range op.To.Rooms {
		one := *op
		one.To.Rooms = []string{room}
		each = append(each, &one)
	}
	return each
}

func (n *wireNode) distortOperation(op *broker.Operation) []*broker.Operation {
	broken := map[string]broker.OpKind{
		"joins nobody": broker.OpJoin, "leaves nobody": broker.OpLeave, "disconnects nobody": broker.OpDisconnect,
	}
	if op.Kind == broken[n.fault] {
		return nil
	}
	if n.fault == "disconnects everybody" && op.Kind == broker.OpDisconnect {
		op.To = broker.Selection{}
	}
	return []*broker.Operation{op}
}

func (n *wireNode) distortArgs(op *broker.Operation) []*broker.Operation {
	switch n.fault {
	case "first argument only":
		op.Args = op.Args[:min(1, len(op.Args))]
	case "several as one":
		if len(op.Args) > 1 {
			var all [][]byte
			for _, arg := range op.Args {
				all = append(all, arg.JSON)
			}
			op.Args = []payload.Value{{JSON: append(append([]byte{'['}, bytes.Join(all, []byte{','})...), ']')}}
		}
	}
	for i := range op.Args {
		switch arg := &op.Args[i]; n.fault {
		case "garbles text":
			arg.JSON = []byte(strings.ToValidUTF8(string(bytes.ReplaceAll(arg.JSON, []byte("ü"), []byte("\xfc"))), "?"))
		case "bytes as text":
			*arg = payload.Value{JSON: arg.Append(nil, func(b []byte, i int) []byte {
				return append(b, `"`+base64.StdEncoding.EncodeToString(arg.Attachments[i].Data)+`"`...)
			})}
		case "loses a byte":
			for k, a := range arg.Attachments {
				arg.Attachments[k].Data = a.Data[:max(1, len(a.Data))-1]
			}
		case "nothing big":
			if len(arg.JSON) > 100_000 {
				return nil
			}
		}
	}
	return []*broker.Operation{op}
}
