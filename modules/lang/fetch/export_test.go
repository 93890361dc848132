package fetch

// Transport is what a fetcher without a client uses.
var Transport = newTransport
