package faults

// NetBlackholeParams are the parameters of net-blackhole.
type NetBlackholeParams struct {
	Stream      string `yaml:"stream" spec:"default=both,enum=both|upstream|downstream" doc:"Which way: upstream swallows what callers send, downstream what they are sent."`
	AfterParams `yaml:",inline"`
}

func newNetBlackhole(decode func(any) error) (Fault, error) {
	var p NetBlackholeParams
	if err := decode(&p); err != nil {
		return nil, err
	}
	says, stage := packetLoss(1, p.Stream)
	return newStageFault(says, stage, p.AfterParams)
}

func init() {
	builtin(Kind{
		Name:    "net-blackhole",
		Summary: "swallows every packet: connecting never answers, live connections fall silent",
		Needs:   NeedsLink,
		Whole:   "the kernel drops packets and knows no connections",
		Missing: missingPackets,
		Params:  NetBlackholeParams{},
		Doc: `As if the cable were pulled: the kernel drops every packet between the callers of the edge and its
proxy. Connecting is never answered, neither accepted nor refused; live connections stay open and nothing arrives on them, not even their end.
With stream downstream the callee still hears and does what it is asked, and its callers never learn.
Needs nftables and CAP_NET_ADMIN where the proxy runs.
Receipt: packets dropped, each try of a connection to get through among them, counted by the kernel; first and last
instant as they were looked at. Undo: the kernel's table is removed. New connections work at once, those that wait work when TCP tries
again, which is after about as long as they have waited; a connection that its caller gave up meanwhile stays half-open at
the proxy until keep-alive finds out. The table goes with the proxy, and with its lease.`,
		New:    newNetBlackhole,
		Revert: revertStage,
	})
}
