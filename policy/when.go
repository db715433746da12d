package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/vm"
)

// Bounds of one condition. Bytes and nodes bound what it may say; the budget, counted
// by expr in elements of what it builds, bounds what evaluating it may cost.
const (
	maxSource    = 4096 // bytes
	maxNodes     = 500
	memoryBudget = 10_000
)

// condition is a compiled when. The zero value holds always.
type condition struct{ program *vm.Program }

// environment is what a when can name. expr checks names and types against it
// when it compiles.
type environment struct {
	User    user    `expr:"user"`
	Request request `expr:"request"`
}

type user struct {
	Name   string   `expr:"name"`
	ID     string   `expr:"id"`
	Email  string   `expr:"email"`
	Realm  string   `expr:"realm"`
	Groups []string `expr:"groups"`
	Scopes []string `expr:"scopes"`
	Admin  bool     `expr:"admin"`
}

type request struct {
	Method string  `expr:"method"`
	Path   string  `expr:"path"`
	Host   string  `expr:"host"`
	IP     address `expr:"ip"`
}

// address and network have no methods, so that a condition can use them only as
// documented.
type (
	address struct{ addr netip.Addr }
	network struct{ prefix netip.Prefix }
)

// compileWhen compiles a condition. The error is expr's, with a caret.
func compileWhen(source string) (condition, error) {
	if source == "" {
		return condition{}, nil
	}
	if len(source) > maxSource {
		return condition{}, fmt.Errorf("when: it has %d bytes; at most %d are taken", len(source), maxSource)
	}
	nets := &literalNets{}
	program, err := expr.Compile(source, options(nets)...)
	if nets.err != nil {
		err = nets.err.Bind(file.NewSource(source))
	}
	if err != nil {
		return condition{}, fmt.Errorf("when: %w", err)
	}
	return condition{program}, nil
}

func options(nets *literalNets) []expr.Option {
	return []expr.Option{
		expr.Env(environment{}),
		expr.AsBool(), expr.WarnOnAny(),
		expr.MaxNodes(maxNodes),
		// A decision must not depend on the clock: it could not be explained later.
		expr.DisableBuiltin("now"),
		expr.Function("net", callNet, new(func(string) network)),
		expr.Function("inNet", callInNet, new(func(address, network) bool)),
		expr.Operator("in", "inNet"),
		expr.Patch(nets),
	}
}

// holds evaluates the condition. An error is the caller's to turn into a
// refusal.
func (c condition) holds(q *Question) (bool, error) {
	if c.program == nil {
		return true, nil
	}
	machine := vm.VM{MemoryBudget: memoryBudget}
	out, err := machine.Run(c.program, facts(q))
	if err != nil {
		return false, err
	}
	ok, isBool := out.(bool)
	if !isBool {
		return false, errors.New("it gave no true or false")
	}
	return ok, nil
}

func facts(q *Question) *environment {
	e := &environment{Request: request{
		Method: q.Method, Path: q.Path, Host: strings.ToLower(q.Host),
		// An IPv4 address may arrive as IPv6 with a prefix, and a zone never
		// belongs to a network.
		IP: address{q.IP.Unmap().WithZone("")},
	}}
	if u := q.User; u != nil {
		e.User = user{Name: u.Name, ID: u.ID, Email: u.Email, Realm: u.Realm, Groups: u.Groups, Scopes: u.Scopes, Admin: u.Admin}
	}
	return e
}

// callNet is net(text) where text is not known before the request.
func callNet(params ...any) (any, error) {
	text, ok := params[0].(string)
	if !ok {
		return nil, errNet
	}
	return parseNet(text)
}

func callInNet(params ...any) (any, error) {
	a, okA := params[0].(address)
	n, okN := params[1].(network)
	if !okA || !okN {
		return nil, errors.New(`"in" compares request.ip with net("...")`)
	}
	return n.prefix.Contains(a.addr), nil
}

var errNet = errors.New(`net wants an address or a network like "10.0.0.0/8"`)

// parseNet reads an address or a network. Bits set beyond the prefix are
// refused: they are a slip of the pen, and which side of it was meant is open.
func parseNet(text string) (network, error) {
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return network{netip.PrefixFrom(a, a.BitLen())}, nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return network{}, errNet
	}
	if p.Masked() != p {
		return network{}, fmt.Errorf("%s has bits beyond its prefix; did you mean %s?", p, p.Masked())
	}
	return network{p}, nil
}

// literalNets replaces net("...") by the network itself, so that a request does
// not pay for parsing it and a slip is found at start.
type literalNets struct{ err *file.Error }

// Visit implements ast.Visitor.
func (v *literalNets) Visit(node *ast.Node) {
	call, ok := (*node).(*ast.CallNode)
	if !ok || len(call.Arguments) != 1 {
		return
	}
	callee, isName := call.Callee.(*ast.IdentifierNode)
	text, isText := call.Arguments[0].(*ast.StringNode)
	if !isName || !isText || callee.Value != "net" {
		return
	}
	n, err := parseNet(text.Value)
	if err != nil {
		v.err = &file.Error{Location: text.Location(), Message: err.Error()}
		return
	}
	ast.Patch(node, &ast.ConstantNode{Value: n})
}

// firstLine returns expr's message without its drawing, for one line of a log.
func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
