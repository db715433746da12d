package demo

import (
	"net/http"

	"github.com/gatehouse-gateway/gatehouse/token"
)

type station struct {
	ID     int    `json:"id"`
	Name   string `json:"name"`
	Status string `json:"status"`
	Area   string `json:"area"`
}

type material struct {
	ID          string  `json:"id"`
	Name        string  `json:"name"`
	Description string  `json:"description"`
	Unit        string  `json:"unitOfMeasure"`
	Quantity    float64 `json:"currentQuantity"`
}

type order struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Type     string `json:"type"`
	Status   string `json:"status"`
	Material string `json:"materialName"`
	Quantity int    `json:"quantity"`
}

var stations = []station{
	{1, "Shuttle 1", "Online", "North"},
	{2, "Shuttle 2", "Online", "North"},
	{3, "Carousel 1", "Offline", "South"},
}

var materials = []material{
	{"5D0C1F1E-0A3B-4E55-9D1C-1B6D0A4B7F01", "M-1001", "Hex bolt M8 × 40", "each", 4200},
	{"5D0C1F1E-0A3B-4E55-9D1C-1B6D0A4B7F02", "M-1002", "Ball bearing 6204", "each", 310},
	{"5D0C1F1E-0A3B-4E55-9D1C-1B6D0A4B7F03", "M-2001", "Copper wire 1.5 mm²", "m", 1250.5},
}

var orders = []order{
	{"A1E2B6F0-7C11-4B0E-8D2A-3F5C9E017A01", "PO-7731", "Pick", "Queued", "M-1001", 80},
	{"A1E2B6F0-7C11-4B0E-8D2A-3F5C9E017A02", "PO-7732", "Put", "In process", "M-1002", 24},
}

// itemPath shows ItemPath: a refresh token that is sent as Bearer, and the token
// of an application, which never expires.
var itemPath = Simulation{
	Name: "itempath", Dialect: "itempath/1", Product: "ItemPath",
	Resources: func(func(token.SID) bool) http.Handler { return ItemPath() },
	Lines: []Line{
		{"call without a credential", 401, "Missing Authorization Header", `curl -si "$G/api/stations" -H "$H"; echo`},
		{"log in: the tokens come in the body", 200, `"login":true`, itemPathLogin("alice")},
		{"call: the gateway puts its own backend token in", 200, "Shuttle 1", `curl -si "$G/api/stations" -H "$H" -H "Authorization: Bearer $AT"; echo`},
		{"refresh: the refresh token as Bearer, which stays the same", 200, `"accessToken"`, `curl -si -X POST "$G/api/users/refresh" -H "$H" -H "Authorization: Bearer $RT"; echo`},
		{"refresh with the access token", 422, "Only refresh tokens are allowed", `curl -si -X POST "$G/api/users/refresh" -H "$H" -H "Authorization: Bearer $AT"; echo`},
		{"ask for an application token as a person", 403, "of type application", `curl -si -X POST "$G/api/users/application-token" -H "$H" -H "Authorization: Bearer $RT"; echo`},
		{"log in as an application", 200, `"login":true`, itemPathLogin("robot")},
		{"ask for an application token: it never expires", 200, `"token"`, `IN=$(curl -si -X POST "$G/api/users/application-token" -H "$H" -H "Authorization: Bearer $RT"); echo "$IN"; APP=$(field token)`},
		{"call with the application token", 200, "PO-7731", `curl -si "$G/api/orders" -H "$H" -H "Authorization: Bearer $APP"; echo`},
	},
}

func itemPathLogin(user string) string {
	return `IN=$(curl -si "$G/api/users/login" -H "$H" -H "$J" -d '{"username":"` + user + `","password":"` + user + `-demo"}'); echo "$IN"; AT=$(field accessToken); RT=$(field refreshToken)`
}

// ItemPath is the resource API of a simulated ItemPath: stations, materials and
// orders of a warehouse. Its callers have been checked before they come here.
// The paths are ItemPath's, the shapes are likely and the data is made up.
func ItemPath() http.Handler {
	mux := http.NewServeMux()
	for path, list := range map[string]any{
		"stations": stations, "materials": materials, "orders": orders,
	} {
		mux.HandleFunc("GET /api/"+path, func(w http.ResponseWriter, _ *http.Request) {
			writeJSON(w, http.StatusOK, map[string]any{path: list})
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusNotFound, map[string]string{"msg": "Not found"})
	})
	return mux
}
