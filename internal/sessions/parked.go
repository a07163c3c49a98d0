package sessions

import "container/list"

// parked are links that have ended and whose connections are away, oldest first.
// Registry.mu guards it.
type parked[L comparable] struct {
	all      list.List // of *parking[L]
	byClient map[string]*list.List
	byLink   map[L]*parking[L]
}

type parking[L comparable] struct {
	link            L
	client          string
	inAll, inClient *list.Element
}

func newParked[L comparable]() parked[L] {
	return parked[L]{byClient: make(map[string]*list.List), byLink: make(map[L]*parking[L])}
}

func (p *parked[L]) add(l L, client string) {
	of := p.byClient[client]
	if of == nil {
		of = list.New()
		p.byClient[client] = of
	}
	e := &parking[L]{link: l, client: client}
	e.inAll, e.inClient = p.all.PushBack(e), of.PushBack(e)
	p.byLink[l] = e
}

func (p *parked[L]) remove(l L) {
	e := p.byLink[l]
	if e == nil {
		return
	}
	delete(p.byLink, l)
	p.all.Remove(e.inAll)
	of := p.byClient[e.client]
	of.Remove(e.inClient)
	if of.Len() == 0 {
		delete(p.byClient, e.client)
	}
}

// count returns how many there are, in total and for that client.
func (p *parked[L]) count(client string) (all, own int) {
	if of := p.byClient[client]; of != nil && client != "" {
		own = of.Len()
	}
	return p.all.Len(), own
}

// oldest returns the client's link that was parked first, or if it has none the one
// of anybody.
func (p *parked[L]) oldest(client string) (L, bool) {
	of := &p.all
	if own := p.byClient[client]; own != nil {
		of = own
	}
	if e := of.Front(); e != nil {
		return e.Value.(*parking[L]).link, true
	}
	var none L
	return none, false
}
