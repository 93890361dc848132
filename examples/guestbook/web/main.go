// Command web serves the guestbook's page and passes what the page asks on to
// the api, which nobody else can reach.
//
//	API_HOST=api API_PORT=7001 TITLE="Our guestbook" web --listen :8080
package main

import (
	"bytes"
	"embed"
	"flag"
	"html/template"
	"io/fs"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"

	"github.com/containust/containust/examples/guestbook/serve"
)

//go:embed page
var files embed.FS

func main() {
	log.SetFlags(0)
	listen := flag.String("listen", ":8080", "`address` to serve on")
	flag.Parse()

	host, port := os.Getenv("API_HOST"), os.Getenv("API_PORT")
	if host == "" || port == "" {
		log.Fatal("API_HOST and API_PORT are not set: where is the api?")
	}
	title := os.Getenv("TITLE")
	if title == "" {
		title = "Guestbook"
	}
	h, err := handler(title, &url.URL{Scheme: "http", Host: net.JoinHostPort(host, port)})
	if err != nil {
		log.Fatal(err)
	}
	if err := serve.Run(*listen, h); err != nil {
		log.Fatal(err)
	}
}

func handler(title string, api *url.URL) (http.Handler, error) {
	page, err := fs.Sub(files, "page")
	if err != nil {
		return nil, err
	}
	tmpl, err := template.ParseFS(page, "index.html")
	if err != nil {
		return nil, err
	}
	var index bytes.Buffer
	if err := tmpl.Execute(&index, title); err != nil {
		return nil, err
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(api) },
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			log.Print(err)
			serve.Error(w, http.StatusBadGateway, "the api does not answer")
		},
	}

	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if _, err := w.Write(index.Bytes()); err != nil {
			log.Printf("answer: %v", err)
		}
	})
	mux.Handle("GET /page/", http.StripPrefix("/page", http.FileServerFS(page)))
	mux.Handle("/entries", proxy)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Nothing but what this server sends: the page works without a network.
		w.Header().Set("Content-Security-Policy", "default-src 'self'")
		mux.ServeHTTP(w, r)
	}), nil
}
