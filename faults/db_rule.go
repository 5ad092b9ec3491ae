package faults

// QueryRule holds the answers to chosen queries of a PostgreSQL edge: the
// server has the query, and its caller is told nothing while the stage stands.
type QueryRule struct {
	// Statement limits it to what begins like this, whatever the case; such as COMMIT.
	Statement string `json:"statement,omitempty"`
}
