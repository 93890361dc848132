// Command api holds the guestbook's rules; it keeps its entries in the store.
//
//	STORE_HOST=store STORE_PORT=7000 api --listen :7001
//
//	GET  /entries            the newest 100 entries, newest first
//	POST /entries            {"name", "message"}
//	GET  /healthz            whether the store answers
package main

import (
	"flag"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/containust/containust/examples/guestbook/serve"
)

func main() {
	log.SetFlags(0)
	listen := flag.String("listen", ":7001", "`address` to serve on")
	flag.Parse()

	host, port := os.Getenv("STORE_HOST"), os.Getenv("STORE_PORT")
	if host == "" || port == "" {
		log.Fatal("STORE_HOST and STORE_PORT are not set: where is the store?")
	}
	b := book{
		store:  "http://" + net.JoinHostPort(host, port),
		client: &http.Client{Timeout: 5 * time.Second},
		now:    time.Now,
	}
	if err := serve.Run(*listen, b.handler()); err != nil {
		log.Fatal(err)
	}
}
