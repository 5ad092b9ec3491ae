// Package proxy is the link proxy: one listener per edge of the system under
// test, and stages (faults.Stage) that say what happens to what passes.
//
// A connection is two inlets, one per direction. An inlet reads a socket
// through the toxics in force, which are Toxiproxy's by name and settings: the
// bytes stand in a line, with a station for each toxic, until they are due. A
// toxic is arithmetic on times: it has no goroutine and nothing in it can block.
// When toxics change, the reader is kicked with a read deadline (never a write
// deadline, which would strand bytes), and goes on under the new ones: what a
// toxic that goes holds passes at once, in order; what is held by one that has
// changed is timed anew from when it came. Without toxics bytes go from socket
// to socket, and inside the kernel when they are many.
//
// On an edge whose protocol is http, an HTTP/1.1 pump stands between the two
// inlets. So toxics and HTTP rules compose in one fixed order, whatever order
// the stages came in:
//
//	caller -> upstream toxics -> HTTP rules -> upstream
//	caller <- HTTP rules <- downstream toxics <- upstream
//
// A reply made by a rule therefore does not pass the downstream toxics. Bytes
// are forwarded as they came; the pump only finds out where messages end.
// What it cannot frame beyond doubt (HTTP/2, upgrades, CONNECT, both
// Content-Length and Transfer-Encoding, a transfer coding other than chunked,
// conflicting lengths, folded headers, bare line feeds) passes as plain TCP
// from there to the end of the connection, and no HTTP rule applies to it.
//
// On an edge whose protocol is grpc both sides of a connection speak HTTP/2
// (without TLS) to the proxy, one upstream connection for each caller's, and they
// end together; rules act on single calls. An upstream that wants a new connection
// (GOAWAY) therefore ends its caller's. What does not begin as HTTP/2 passes as it is.
//
// Which requests, calls or connections a stage hits is decided in choice.go: by
// index, over all links that hold a stage of the same owner and id, by chance from
// seed and index, by trigger, ramp and cap. What was decided is in the wire log.
//
// On an edge whose protocol is nats or postgres a pump follows the messages of
// each direction, between the toxics and the other side. A bus rule drops,
// repeats or delays chosen messages; a query rule holds the answers from a
// chosen query on. What cannot be framed (TLS, above all) passes as plain TCP,
// and the receipts of such stages say how many live connections that are.
//
// What becomes of a connection as a whole comes first, also in a fixed order:
// refused (refuse, flap), reset, held (accept), met with a bad certificate (tls).
// After a handshake of ours the bytes of TLS pass the toxics like any others.
//
// The upstream of an http edge is dialled when the first request comes, that
// of any other edge at once. On an http edge a caller that closes its side
// while a reply is due counts as gone, as with most HTTP proxies; elsewhere
// half-closed connections are honoured.
//
// Every wait is bounded: a change that live connections have not taken up in
// Options.SwitchTimeout is reported as pending, not waited for.
package proxy
