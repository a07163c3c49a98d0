package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"github.com/wsrouter/wsrouter/examples/chat/page"
)

// history keeps what was said in Redis, so that all servers have the same. A room
// is forgotten one day after the last message.
type history struct{ redis rueidis.Client }

const (
	keep  = 50 // messages per room
	day   = 24 * 60 * 60
	limit = 3 * time.Second // for Redis to answer
)

// Numbers start at the clock's milliseconds (ARGV[1]), so that they increase even
// when a room starts anew.
var (
	sayScript = rueidis.NewLuaScript(fmt.Sprintf(`
		if not redis.call('SET', KEYS[3], 1, 'NX', 'EX', 600) then return 0 end
		redis.call('SET', KEYS[1], ARGV[1], 'NX')
		local seq = redis.call('INCR', KEYS[1])
		redis.call('EXPIRE', KEYS[1], %[1]d)
		redis.call('RPUSH', KEYS[2], string.format('%%.0f ', seq) .. ARGV[2])
		redis.call('LTRIM', KEYS[2], -%[2]d, -1)
		redis.call('EXPIRE', KEYS[2], %[1]d)
		return seq`, day, keep))
	readScript = rueidis.NewLuaScript(`
		local list = redis.call('LRANGE', KEYS[2], 0, -1)
		table.insert(list, 1, redis.call('GET', KEYS[1]) or ARGV[1])
		return list`)
)

// keys returns keys in one slot of a Redis Cluster, that of the room's name, in
// which braces are escaped.
func keys(room string, names ...string) (keys []string) {
	for _, name := range names {
		keys = append(keys, "chat:{"+url.QueryEscape(room)+"}:"+name)
	}
	return keys
}

// add stores a message, and gives it a number and a time. It reports false if one
// with the same key was stored before.
func (h history) add(ctx context.Context, m page.Message) (kept page.Message, fresh bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	m.Time = time.Now().UnixMilli()
	raw, err := json.Marshal(m)
	if err != nil {
		return m, false, err
	}
	once := "once:" + m.Key
	if m.Key == "" {
		once += rueidis.BinaryString(raw)
	}
	now := strconv.FormatInt(m.Time, 10)
	m.Seq, err = sayScript.Exec(ctx, h.redis, keys(m.Room, "seq", "said", once), []string{now, string(raw)}).AsInt64()
	return m, m.Seq != 0, err
}

// since returns what was said in a room after a message, and the number of the last
// message.
func (h history) since(ctx context.Context, room string, after int64) (list []page.Message, last int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	now := strconv.FormatInt(time.Now().UnixMilli(), 10)
	lines, err := readScript.Exec(ctx, h.redis, keys(room, "seq", "said"), []string{now}).AsStrSlice()
	if err != nil {
		return nil, 0, err
	}
	for _, line := range lines[1:] {
		var m page.Message
		seq, raw, _ := strings.Cut(line, " ")
		if err := json.Unmarshal([]byte(raw), &m); err != nil {
			return nil, 0, err
		}
		if m.Seq, err = strconv.ParseInt(seq, 10, 64); err != nil {
			return nil, 0, err
		}
		if m.Seq > after {
			list = append(list, m)
		}
	}
	last, err = strconv.ParseInt(lines[0], 10, 64)
	return list, last, err
}
