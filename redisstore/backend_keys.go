package redisstore

// dueKey is the sorted set of those who are logged in at a backend under one
// account, with the time in ms when to look at each again.
func dueKey(backend, pool string) string { return "gh:{up:" + backend + ":" + pool + "}:due" }
