// Package proxy is the link proxy: one listener per edge of the system under
// test, and stages (faults.Stage) that say what happens to what passes.
//
// A connection is two inlets, one per direction. An inlet reads a socket
// through the toxics in force and switches live connections when those change:
// its reader is kicked with a read deadline (never a write deadline, which
// would strand bytes), what the old toxics hold is flushed in order, and the
// new ones take over. Without toxics bytes go from socket to socket.
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
// The upstream of an http edge is dialled when the first request comes, that
// of any other edge at once. On an http edge a caller that closes its side
// while a reply is due counts as gone, as with most HTTP proxies; elsewhere
// half-closed connections are honoured.
//
// Every wait is bounded: a change that live connections have not taken up in
// Options.SwitchTimeout is reported as pending, not waited for.
package proxy
