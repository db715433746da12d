package store

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"

	lua "github.com/yuin/gopher-lua"
	"github.com/yuin/gopher-lua/parse"
)

// Engine runs scripts. Scripts are compiled once. It serves one store at a time.
type Engine struct {
	state    *lua.LState
	compiled map[string]*lua.LFunction // by text
	do       func(*Conn, []string) any // what redis.call does
	conn     *Conn                     // for whom the script runs
}

// NewEngine returns an engine.
func NewEngine() *Engine {
	e := &Engine{state: lua.NewState(lua.Options{SkipOpenLibs: true}), compiled: map[string]*lua.LFunction{}}
	for _, lib := range []struct {
		name string
		open lua.LGFunction
	}{
		{lua.BaseLibName, lua.OpenBase},
		{lua.TabLibName, lua.OpenTable},
		{lua.StringLibName, lua.OpenString},
		{lua.MathLibName, lua.OpenMath},
	} {
		e.state.Push(e.state.NewFunction(lib.open))
		e.state.Push(lua.LString(lib.name))
		e.state.Call(1, 0)
	}
	redis := e.state.NewTable()
	redis.RawSetString("call", e.state.NewFunction(func(*lua.LState) int { return e.call(true) }))
	redis.RawSetString("pcall", e.state.NewFunction(func(*lua.LState) int { return e.call(false) }))
	e.state.SetGlobal("redis", redis)
	return e
}

// Digest names a script as EVALSHA does.
func Digest(text string) string {
	sum := sha1.Sum([]byte(text))
	return hex.EncodeToString(sum[:])
}

func (e *Engine) compile(text string) (*lua.LFunction, error) {
	if f := e.compiled[text]; f != nil {
		return f, nil
	}
	chunk, err := parse.Parse(strings.NewReader(text), "script")
	if err != nil {
		return nil, err
	}
	proto, err := lua.Compile(chunk, "script")
	if err != nil {
		return nil, err
	}
	f := e.state.NewFunctionFromProto(proto)
	e.compiled[text] = f
	return f, nil
}

// run runs a script.
func (e *Engine) run(c *Conn, text string, keys, args []string) any {
	f, err := e.compile(text)
	if err != nil {
		return failure("ERR Error compiling script: " + oneLine(err))
	}
	e.conn = c
	e.state.SetGlobal("KEYS", e.table(keys))
	e.state.SetGlobal("ARGV", e.table(args))
	if err := e.state.CallByParam(lua.P{Fn: f, NRet: 1, Protect: true}); err != nil {
		return failure("ERR Error running script: " + oneLine(err))
	}
	reply := e.state.Get(-1)
	e.state.Pop(1)
	return fromLua(reply)
}

func oneLine(err error) string { return strings.Map(dropBreaks, err.Error()) }

func dropBreaks(r rune) rune {
	if r == '\n' || r == '\r' {
		return ' '
	}
	return r
}

func (e *Engine) table(texts []string) *lua.LTable {
	t := e.state.CreateTable(len(texts), 0)
	for _, text := range texts {
		t.Append(lua.LString(text))
	}
	return t
}

// call is redis.call and, where errors are not raised, redis.pcall.
func (e *Engine) call(raises bool) int {
	l := e.state
	args := make([]string, l.GetTop())
	for i := range args {
		switch v := l.Get(i + 1).(type) {
		case lua.LString:
			args[i] = string(v)
		case lua.LNumber:
			args[i] = number(float64(v))
		default:
			l.RaiseError("arguments of redis.call must be strings or numbers")
		}
	}
	reply := e.do(e.conn, args)
	if f, ok := reply.(failure); ok && raises {
		l.RaiseError("%s", string(f))
	}
	l.Push(e.toLua(reply))
	return 1
}

// number writes a number as Redis does for a script.
func number(v float64) string {
	if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
		return strconv.FormatInt(int64(v), 10)
	}
	return fmt.Sprintf("%.17g", v)
}

func (e *Engine) toLua(reply any) lua.LValue {
	switch r := reply.(type) {
	case int64:
		return lua.LNumber(r)
	case string:
		return lua.LString(r)
	case status:
		t := e.state.CreateTable(0, 1)
		t.RawSetString("ok", lua.LString(r))
		return t
	case failure:
		t := e.state.CreateTable(0, 1)
		t.RawSetString("err", lua.LString(r))
		return t
	case []any:
		if r == nil {
			return lua.LFalse
		}
		t := e.state.CreateTable(len(r), 0)
		for i, each := range r {
			t.RawSetInt(i+1, e.toLua(each))
		}
		return t
	}
	return lua.LFalse
}

func fromLua(v lua.LValue) any {
	switch v := v.(type) {
	case lua.LString:
		return string(v)
	case lua.LNumber:
		return int64(v)
	case lua.LBool:
		if v {
			return int64(1)
		}
	case *lua.LTable:
		if text, ok := v.RawGetString("err").(lua.LString); ok {
			return failure(text)
		}
		if text, ok := v.RawGetString("ok").(lua.LString); ok {
			return status(text)
		}
		out := []any{}
		for i := 1; ; i++ {
			each := v.RawGetInt(i)
			if each == lua.LNil {
				return out
			}
			out = append(out, fromLua(each))
		}
	}
	return nil
}
