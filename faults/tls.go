package faults

// TLSParams are the parameters of the tls kinds.
type TLSParams struct {
	Live       string `yaml:"live" spec:"default=reset,enum=reset|keep" doc:"What becomes of live connections: reset makes their callers come again, keep leaves them until they end."`
	ConnParams `yaml:",inline"`
	GateParams `yaml:",inline"`
}

func newTLS(cert TLSCert) func(func(any) error) (Fault, error) {
	return func(decode func(any) error) (Fault, error) {
		var p TLSParams
		if err := decode(&p); err != nil {
			return nil, err
		}
		stage := Stage{TLS: &TLSAct{Cert: cert, Reset: p.Live == "reset"}}
		return newStageFault(string(cert)+" certificate", stage, p.ConnParams, p.GateParams)
	}
}

const tlsDoc = `
The proxy answers the TLS handshakes of new connections with a certificate made for the name the caller asks for.
A caller that checks it hangs up, and what it said is noted. One that does not check goes on, and is led to the callee over
a TLS connection of the proxy's (without a client certificate): it notices nothing, as it would with the real one.
The link must speak TLS from its first byte on; what does not passes untouched.
Receipt: handshakes answered. Undo: the stage is removed; new connections meet the callee's own certificate.`

func init() {
	builtin(Kind{
		Name:    "tls-expired",
		Summary: "meets new connections with a certificate whose time is over",
		Needs:   NeedsLink,
		Unit:    "connection",
		Params:  TLSParams{},
		Doc: `The certificate ended an hour ago. Its issuer is unknown as well, since only the real one could sign it:
callers that look at the issuer first say so instead.` + tlsDoc,
		New:    newTLS(TLSExpired),
		Revert: revertStage,
	})
	builtin(Kind{
		Name:    "tls-untrusted",
		Summary: "meets new connections with a certificate of an unknown issuer",
		Needs:   NeedsLink,
		Unit:    "connection",
		Params:  TLSParams{},
		Doc:     `The certificate is in order, but signed by an authority that nobody knows.` + tlsDoc,
		New:     newTLS(TLSUntrusted),
		Revert:  revertStage,
	})
}
