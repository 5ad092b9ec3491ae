package faults

// DBHangParams are the parameters of db-hang.
type DBHangParams struct {
	Statement   string `yaml:"statement" doc:"Only queries that execute a statement which begins like this, in capitals or not, such as COMMIT."`
	QueryParams `yaml:",inline"`
	GateParams  `yaml:",inline"`
}

// QueryParams choose the queries a fault applies to. All that is given must hold.
type QueryParams struct {
	From        int    `yaml:"from" spec:"min=0" doc:"Only from the nth matching query on; first and every count from there."`
	First       int    `yaml:"first" spec:"min=0" doc:"Only the first n matching queries, of all links of the edge together."`
	Every       int    `yaml:"every" spec:"min=0" doc:"Only every nth matching query, of all links of the edge together."`
	Probability *Ratio `yaml:"probability" doc:"Only this share of the matching queries, drawn per query from the seed."`
}

func (p QueryParams) narrow(s *Stage) (string, error) {
	words, err := chooseUnits(&s.Match, "statement", ConnParams(p))
	return " to " + words, err
}

func newDBHang(decode func(any) error) (Fault, error) {
	var p DBHangParams
	if err := decode(&p); err != nil {
		return nil, err
	}
	says := "no answer"
	if p.Statement != "" {
		says += " (" + p.Statement + ")"
	}
	return newStageFault(says, Stage{Query: &QueryRule{Statement: p.Statement}}, p.QueryParams, p.GateParams)
}

func init() {
	builtin(Kind{
		Name:    "db-hang",
		Summary: "queries get no answer while their connections stand",
		Needs:   NeedsPostgres,
		Unit:    "query",
		Params:  DBHangParams{},
		Doc: `The server is given each chosen query and executes it; the answer is held at the proxy of this edge, so that the caller
cannot know whether it happened. Connections stand and new ones can be made, and a query that was under way before is answered.
A prepared statement counts as its text where statement is given. What is encrypted cannot be followed and passes; the receipt
then says so. Receipt: queries whose answer was held. Undo: the stage is removed, and held answers reach who still waits.`,
		New:    newDBHang,
		Revert: revertStage,
	})
}
