// Package httpx puts Multipath TCP under net/http: transports that dial with it (NewTransport, and
// PolicyTransport with one connection pool per path policy), servers whose handlers see the
// connection that they serve (ListenAndServe, ConnContext, FromRequest), a trace of the connection
// that a request went over, and a page of all connections (Handler).
package httpx
