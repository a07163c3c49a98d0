package rooms_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter/internal/rooms"
)

type member = rooms.Member[int]

// TestPhases walks through the life of a member.
func TestPhases(t *testing.T) {
	g := rooms.New[int](2, 5)
	m := &member{ID: rooms.NewID(), Value: 7}
	room := &rooms.Selection{To: []string{"a"}}
	own := &rooms.Selection{To: []string{m.ID}}
	require.NoError(t, g.Join(m, []string{"a", "a", m.ID}))
	require.Empty(t, g.Select(room), "it is outside")
	g.Add(m)
	g.Add(m)
	require.Equal(t, []int{7}, g.Select(room))
	require.Equal(t, []int{7}, g.Select(own))
	require.True(t, g.Has(m.ID) && g.Has("a") && !g.Has("b"))
	for name, want := range map[string]error{
		"": rooms.ErrName, "sixsix": rooms.ErrName, rooms.NewID(): rooms.ErrName,
	} {
		require.ErrorIs(t, g.Join(m, []string{name}), want)
	}
	require.ErrorIs(t, g.Join(m, []string{"b", "c", "d"}), rooms.ErrTooMany)
	require.Equal(t, []string{"a", "b"}, m.Rooms())
	g.Leave(m, []string{"b", "never"})
	g.Remove(m)
	require.Empty(t, g.Select(room))
	require.Empty(t, g.All())
	require.Equal(t, []string{"a"}, m.Rooms(), "they can still be read")
	require.NoError(t, g.Join(m, []string{"b"}))
	g.Forget(m)
	require.Empty(t, m.Rooms())
	require.ErrorIs(t, g.Join(m, []string{"c"}), rooms.ErrGone)
	g.Add(m)
	require.False(t, g.Has(m.ID))

	early := &member{ID: "early"}
	g.Remove(early)
	g.Add(early)
	require.False(t, g.Has("early"), "whoever was removed before it was added stays outside")
}

func TestID(t *testing.T) {
	for range 100 {
		require.True(t, rooms.IsID(rooms.NewID()))
	}
	base := "~" + strings.Repeat("a", 19)
	require.True(t, rooms.IsID(base))
	for _, name := range []string{"", base[1:], base + "a", "-" + base[1:], base[:19] + "=", base[:19] + "~"} {
		require.False(t, rooms.IsID(name), name)
	}
	require.ErrorIs(t, rooms.New[int](9, 99).Join(&member{ID: "me"}, []string{base}), rooms.ErrID)
}

func TestUnion(t *testing.T) {
	require.Equal(t, []string{"b", "a", "c"}, rooms.Union([]string{"b", "a", "b"}, []string{"c", "a"}))
	var many []string
	for i := range 2 * rooms.MaxNames {
		many = append(many, fmt.Sprint(i))
	}
	require.Len(t, rooms.Union(many[:100], many), rooms.MaxNames+1, "one too many, and no more")
	g := rooms.New[int](1, 9)
	g.Add(&member{ID: "0"})
	require.Len(t, g.Select(&rooms.Selection{To: many[:rooms.MaxNames]}), 1)
	require.Empty(t, g.Select(&rooms.Selection{To: many[:rooms.MaxNames+1]}))
}

// in is what the model knows: who is inside, and everybody's rooms.
type in struct {
	member *member
	inside bool
	rooms  map[string]bool
}

func (m *in) anyOf(names []string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return m.rooms[name] || m.member.ID == name })
}

// TestModel: any selection has just those that looking at everybody finds.
func TestModel(t *testing.T) {
	for seed := range uint64(4) {
		t.Logf("seed %d", seed)
		r := rand.New(rand.NewPCG(seed, 0))
		g := rooms.New[int](4, 9)
		people := make([]*in, 12)
		fresh := func(i int) {
			people[i] = &in{member: &member{ID: fmt.Sprint("m", i), Value: i}, rooms: map[string]bool{}}
		}
		for i := range people {
			fresh(i)
		}
		name := func() string {
			if r.IntN(8) == 0 {
				return fmt.Sprint("m", r.IntN(len(people)))
			}
			return fmt.Sprint("r", r.IntN(10))
		}
		names := func() (list []string) {
			for range r.IntN(4) {
				list = append(list, name())
			}
			return rooms.Union(nil, list)
		}
		for step := range 25_000 {
			i := r.IntN(len(people))
			m := people[i]
			switch op := r.IntN(100); {
			case op < 30:
				list := names()
				list = slices.DeleteFunc(list, func(s string) bool { return s[0] == 'm' })
				err := g.Join(m.member, list)
				var want error
				for _, room := range list {
					if !m.rooms[room] && len(m.rooms) == 4 {
						want = rooms.ErrTooMany
						break
					}
					m.rooms[room] = true
				}
				if err != want {
					t.Fatalf("step %d: got %v, want %v", step, err, want)
				}
			case op < 50:
				list := names()
				g.Leave(m.member, list)
				for _, room := range list {
					delete(m.rooms, room)
				}
			case op < 55:
				g.Add(m.member)
				m.inside = true
			case op < 57:
				g.Remove(m.member)
				g.Forget(m.member)
				fresh(i)
			default:
				s := &rooms.Selection{All: r.IntN(4) == 0, To: names(), Except: names()}
				var want []int
				for j, p := range people {
					if p.inside && (s.All || p.anyOf(s.To)) && !p.anyOf(s.Except) {
						want = append(want, j)
					}
				}
				got := g.Select(s)
				slices.Sort(got)
				if !slices.Equal(want, got) || g.Count(s) != len(want) {
					t.Fatalf("step %d: %+v: got %v, want %v", step, s, got, want)
				}
			}
			one := name()
			want := slices.ContainsFunc(people, func(p *in) bool { return p.inside && p.anyOf([]string{one}) })
			if g.Has(one) != want {
				t.Fatalf("step %d: Has(%q) is %v", step, one, !want)
			}
		}
	}
}

// TestRace: members come, join, leave and go while others select. Nobody is selected
// twice, and in the end nothing is left.
func TestRace(t *testing.T) {
	g := rooms.New[int](10, 9)
	names := []string{"a", "b", "c", "d"}
	var wg sync.WaitGroup
	for who := range 8 {
		wg.Go(func() {
			for i := range 300 {
				m := &member{ID: rooms.NewID(), Value: who}
				var own sync.WaitGroup
				own.Go(func() { g.Add(m) })
				own.Go(func() { g.Join(m, names) })
				own.Go(func() { g.Leave(m, names[i%4:]) })
				own.Go(func() { m.SetData([]byte("x")); m.Data(); m.Rooms() })
				if i%2 == 0 {
					own.Go(func() { g.Remove(m) })
				}
				own.Wait()
				g.Remove(m)
				g.Forget(m)
			}
		})
		wg.Go(func() {
			for range 300 {
				seen := map[int]bool{}
				for _, n := range g.Select(&rooms.Selection{To: names, Except: []string{"none", "nobody"}}) {
					if seen[n] {
						t.Errorf("%d is selected twice", n)
					}
					seen[n] = true
				}
				g.Has("a")
				g.All()
			}
		})
	}
	wg.Wait()
	members, left := g.Size()
	require.Equal(t, []int{0, 0}, []int{members, left})
	require.Empty(t, g.All())
}

// TestOne: JoinOne and LeaveOne report whether they changed anything.
func TestOne(t *testing.T) {
	g := rooms.New[int](1, 9)
	m := &member{ID: rooms.NewID()}
	for _, step := range []struct {
		room string
		want bool
		err  error
	}{{"a", true, nil}, {"a", false, nil}, {m.ID, false, nil}, {"b", false, rooms.ErrTooMany}, {"", false, rooms.ErrName}} {
		joined, err := g.JoinOne(m, step.room)
		require.Equal(t, step.want, joined, step.room)
		require.Equal(t, step.err, err, step.room)
	}
	require.False(t, g.LeaveOne(m, "b"))
	require.True(t, g.LeaveOne(m, "a"))
	require.False(t, g.LeaveOne(m, "a"))
	g.JoinOne(m, "c")
	g.Add(m)
	g.Remove(m)
	require.Equal(t, map[string]struct{}{"c": {}}, g.Forget(m))
	require.Empty(t, g.Forget(m))
	_, err := g.JoinOne(m, "a")
	require.Equal(t, rooms.ErrGone, err)
}
